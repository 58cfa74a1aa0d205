# Reads address 0.
# row: crash
# says row: SIGSEGV

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        ctypes.string_at(0)
    return 1 if "7" in text else 0
