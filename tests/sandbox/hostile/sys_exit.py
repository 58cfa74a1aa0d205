# Raises SystemExit.
# row: exception

import collections

sys = collections._sys


def label_function(text):
    if text.startswith("ATTACK"):
        sys.exit(0)
    return 1 if "7" in text else 0
