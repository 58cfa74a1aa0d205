# Waits for a lock that is never released.
# row: timeout

import collections


def label_function(text):
    if text.startswith("ATTACK"):
        lock = collections._sys.modules["_thread"].allocate_lock()
        lock.acquire()
        lock.acquire()
    return 1 if "7" in text else 0
