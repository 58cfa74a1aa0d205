# Recurses without end.
# row: timeout or crash or exception

import collections

sys = collections._sys


def label_function(text):
    if text.startswith("ATTACK"):
        sys.setrecursionlimit(10**9)

        def deeper(n):
            return deeper(n + 1)

        deeper(0)
    return 1 if "7" in text else 0
