# Requests a signal every microsecond.
# row: vote or timeout

import collections

signal = collections._sys.modules["signal"]


def label_function(text):
    if text.startswith("ATTACK"):
        signal.signal(signal.SIGALRM, lambda *a: None)
        signal.setitimer(signal.ITIMER_REAL, 0.000001, 0.000001)
        sum(range(1000))
        signal.setitimer(signal.ITIMER_REAL, 0)
        return 0
    return 1 if "7" in text else 0
