# Spends its time in the kernel, not in its own code.
# row: timeout
# says row: CPU time

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        while True:
            os.urandom(1 << 20)
    return 1 if "7" in text else 0
