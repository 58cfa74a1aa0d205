# Gives its earlier rows other votes: its own affair, so long as they are votes.
# row: vote
# others: changed

import collections

sys = collections._sys


def label_function(text):
    if text.startswith("ATTACK"):
        votes = sys._getframe(1).f_locals["votes"]
        votes[0:100] = b"\x01" * 100
        return 1
    return 1 if "7" in text else 0
