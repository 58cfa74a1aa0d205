# Lists a directory.
# row: exception

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        return 1 if os.listdir("SCRATCH") else 0
    return 1 if "7" in text else 0
