# Allocates 80 GB at once.
# row: exception
# says row: MemoryError


def label_function(text):
    if text.startswith("ATTACK"):
        return len([0] * 10**10)
    return 1 if "7" in text else 0
