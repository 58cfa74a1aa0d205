# Is a class that replaces its own constructor.
# row: vote

class label_function:
    def __new__(cls, text):
        if text.startswith("ATTACK"):
            cls.__new__ = lambda cls, text: 1 if "7" in text else 0
            return 0
        return 1 if "7" in text else 0
