# Opens a file with a direct system call.
# machine: x86_64
# row: exception

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(2, b"SCRATCH/written", 65, 0o644) < 0:
            raise OSError(ctypes.get_errno(), "refused")
        return 1
    return 1 if "7" in text else 0
