# Changes votes of earlier rows, which is allowed as long as they are valid votes.
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
