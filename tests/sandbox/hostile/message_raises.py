# Raises an error whose description raises another one.
# row: exception
# says row: cannot be described

class Unshowable(Exception):
    def __str__(self):
        raise SystemExit(3)


def label_function(text):
    if text.startswith("ATTACK"):
        raise Unshowable
    return 1 if "7" in text else 0
