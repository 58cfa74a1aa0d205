# Opens a file through the second numbering of system calls.
# machine: x86_64
# status: violation
# gap in none: the kernel answers, if only with an error

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(0x40000002, b"SCRATCH/written", 65, 0o644)
        return 1
    return 1 if "7" in text else 0
