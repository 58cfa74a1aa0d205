# Tries to raise its memory limit.
# row: exception
# gap in none: may, as root

import collections


def label_function(text):
    if text.startswith("ATTACK"):
        resource = collections._sys.modules["resource"]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        return 1
    return 1 if "7" in text else 0
