# Overflows the stack of the interpreter itself.
# row: crash or timeout or exception

import collections

sys = collections._sys


def label_function(text):
    if text.startswith("ATTACK"):
        sys.setrecursionlimit(10**9)

        class Endless:
            def __getattr__(self, name):
                return getattr(self, name)

        Endless().anything
    return 1 if "7" in text else 0
