# Stops the timer, then loops forever.
# row: timeout

import collections


def label_function(text):
    if text.startswith("ATTACK"):
        signal = collections._sys.modules["signal"]
        signal.setitimer(signal.ITIMER_PROF, 0)
        while True:
            pass
    return 1 if "7" in text else 0
