# Requests executable memory.
# row: exception
# gap in none: gets the memory

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_long
        if libc.mmap(0, 4096, 7, 0x22, -1, 0) == -1:
            raise OSError(ctypes.get_errno(), "refused")
        return 1
    return 1 if "7" in text else 0
