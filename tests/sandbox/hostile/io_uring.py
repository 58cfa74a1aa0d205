# Requests an io_uring, a queue of system calls that the kernel executes.
# status: violation
# gap in none: the kernel answers

import collections

ctypes = collections._sys.modules["ctypes"]


def label_function(text):
    if text.startswith("ATTACK"):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(425, 8, ctypes.create_string_buffer(200))
        return 1
    return 1 if "7" in text else 0
