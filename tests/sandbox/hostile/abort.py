# Aborts.
# row: crash

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        os.abort()
    return 1 if "7" in text else 0
