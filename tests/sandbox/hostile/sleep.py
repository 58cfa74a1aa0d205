# Sleeps for an hour.
# row: exception
# row in none: timeout

import collections

time = collections._sys.modules["time"]


def label_function(text):
    if text.startswith("ATTACK"):
        time.sleep(3600)
    return 1 if "7" in text else 0
