# Shrinks the shared memory while the parent reads it.
# row: exception

import collections

sys = collections._sys


def label_function(text):
    if text.startswith("ATTACK"):
        votes = sys._getframe(1).f_locals["votes"]
        votes.resize(1)
        return 1
    return 1 if "7" in text else 0
