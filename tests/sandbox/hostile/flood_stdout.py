# Prints 20 MB.
# row: vote or timeout


def label_function(text):
    if text.startswith("ATTACK"):
        for _ in range(200_000):
            print("x" * 100)
        return 1
    return 1 if "7" in text else 0
