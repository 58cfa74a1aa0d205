# Writes the vote of a later row, then ends with success.
# status: invalid_output

import collections

sys = collections._sys
os = sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        votes = sys._getframe(1).f_locals["votes"]
        votes[150] = 1
        os._exit(0)
    return 1 if "7" in text else 0
