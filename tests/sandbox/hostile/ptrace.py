# Tries to trace a process.
# status: violation
# gap in none: may trace

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace(16, 1, 0, 0)
        return 1
    return 1 if "7" in text else 0
