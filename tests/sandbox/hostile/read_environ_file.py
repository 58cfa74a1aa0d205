# Searches the environment of its parent for keys.
# row: exception

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        return 1 if open(f"/proc/{os.getppid()}/environ", "rb").read() else 0
    return 1 if "7" in text else 0
