# Ignores all signals, then loops forever.
# row: timeout

import collections


def label_function(text):
    if text.startswith("ATTACK"):
        signal = collections._sys.modules["signal"]
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            pass
    return 1 if "7" in text else 0
