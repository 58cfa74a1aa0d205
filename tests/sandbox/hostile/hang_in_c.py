# Hangs in C code that does not check for signals.
# row: timeout


def label_function(text):
    if text.startswith("ATTACK"):
        return len(str(10 ** 10**8)) % 2
    return 1 if "7" in text else 0
