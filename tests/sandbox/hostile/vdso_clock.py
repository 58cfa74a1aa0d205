# Reads the clock, which no filter can prevent. Allowed; votes that depend on it are flagged.
# row: vote

import datetime


def label_function(text):
    if text.startswith("ATTACK"):
        return 0 if datetime.datetime.now().year > 2000 else 2
    return 1 if "7" in text else 0
