# Writes over the texts of the others.
# row: exception

import collections

sys = collections._sys


def label_function(text):
    if text.startswith("ATTACK"):
        rows = sys._getframe(1).f_locals["rows"]
        rows._memory[0:8] = b"\xff" * 8
    return 1 if "7" in text else 0
