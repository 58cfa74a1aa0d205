# Unmaps the memory of the votes.
# row: crash

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        votes = collections._sys._getframe(1).f_locals["votes"]
        at = ctypes.addressof(ctypes.c_char.from_buffer(votes)) & ~4095
        ctypes.CDLL(None).munmap(ctypes.c_void_p(at), ctypes.c_size_t(1 << 14))
    return 1 if "7" in text else 0
