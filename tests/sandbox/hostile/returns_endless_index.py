# Returns an object that never finishes its conversion to an integer.
# row: timeout

class Odd:
    def __index__(self):
        while True:
            pass


def label_function(text):
    if text.startswith("ATTACK"):
        return Odd()
    return 1 if "7" in text else 0
