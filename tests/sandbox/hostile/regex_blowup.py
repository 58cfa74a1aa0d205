# A regular expression that never ends.
# row: timeout

import re


def label_function(text):
    if text.startswith("ATTACK"):
        return 1 if re.match(r"(a+)+$", "a" * 40 + "b") else 0
    return 1 if "7" in text else 0
