# Returns a member of an integer enumeration.
# row: vote

import enum


class Label(enum.IntEnum):
    SPAM = 1


def label_function(text):
    if text.startswith("ATTACK"):
        return Label.SPAM
    return 1 if "7" in text else 0
