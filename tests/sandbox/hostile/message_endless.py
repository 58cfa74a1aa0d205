# Raises an error that never finishes its description.
# row: exception
# says row: cannot be described

class Endless(Exception):
    def __str__(self):
        while True:
            pass


def label_function(text):
    if text.startswith("ATTACK"):
        raise Endless
    return 1 if "7" in text else 0
