# Disables os._exit and returns, to continue as a second zygote.
# row: vote
# others: changed

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        os._exit = lambda status: None
    return 1 if "7" in text else 0
