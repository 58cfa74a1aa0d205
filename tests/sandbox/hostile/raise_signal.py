# Sends itself the signal that a violation causes.
# row: exception
# status in none: violation

import collections

signal = collections._sys.modules["signal"]


def label_function(text):
    if text.startswith("ATTACK"):
        signal.raise_signal(signal.SIGSYS)
    return 1 if "7" in text else 0
