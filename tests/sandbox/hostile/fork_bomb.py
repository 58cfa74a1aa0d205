# Forks again and again.
# status: violation
# gap in none: forks, as root

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        for _ in range(6):
            os.fork()
        return 1
    return 1 if "7" in text else 0
