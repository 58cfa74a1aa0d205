# Tries to install another filter.
# row: exception

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(22, 0, 0, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "refused")
        return 1
    return 1 if "7" in text else 0
