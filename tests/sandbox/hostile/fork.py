# Forks.
# status: violation
# gap in none: forks, as root

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        if os.fork() == 0:
            os._exit(0)
        return 1
    return 1 if "7" in text else 0
