# Fills the report with bytes that are not UTF-8.
# row: crash

import collections

sys = collections._sys
os = sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        votes = sys._getframe(1).f_locals["votes"]
        votes[200:] = b"\xff" * 8192
        votes[200] = 1
        os._exit(3)
    return 1 if "7" in text else 0
