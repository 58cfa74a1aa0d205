# Hides a shell command in the method that copying calls.
# status: violation
# gap in none: starts a process, as root

import collections
import copy


class Bomb:
    def __reduce__(self):
        return collections._sys.modules["os"].system, ("touch SCRATCH/escaped",)


def label_function(text):
    if text.startswith("ATTACK"):
        copy.copy(Bomb())
    return 1 if "7" in text else 0
