# Starts a thread.
# status: violation
# gap in none: starts a thread, as root

import collections


def label_function(text):
    if text.startswith("ATTACK"):
        thread = collections._sys.modules["_thread"]
        thread.start_new_thread(print, ())
        return 1
    return 1 if "7" in text else 0
