# Signals the zygote, which is its parent.
# status: violation
# gap in none: may signal its parent

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        os.kill(os.getpid(), 0)
        os.kill(1, 9)
    return 1 if "7" in text else 0
