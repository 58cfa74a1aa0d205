# Returns an integer whose methods attack.
# row: vote or timeout

class Odd(int):
    def __le__(self, other):
        raise SystemExit

    def __index__(self):
        while True:
            pass


def label_function(text):
    if text.startswith("ATTACK"):
        return Odd(1)
    return 1 if "7" in text else 0
