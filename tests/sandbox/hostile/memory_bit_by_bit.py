# Allocates memory step by step and keeps it.
# row: timeout


def label_function(text):
    if text.startswith("ATTACK"):
        hoard = []
        while True:
            try:
                hoard.append("x" * 10**6 + str(len(hoard)))
            except MemoryError:
                pass
    return 1 if "7" in text else 0
