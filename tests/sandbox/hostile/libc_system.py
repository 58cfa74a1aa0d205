# Runs a command through the C library.
# status: violation
# gap in none: starts a process, as root

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        ctypes.CDLL(None).system(b"touch SCRATCH/written")
        return 1
    return 1 if "7" in text else 0
