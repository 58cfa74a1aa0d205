# Loops forever.
# row: timeout


def label_function(text):
    if text.startswith("ATTACK"):
        while True:
            pass
    return 1 if "7" in text else 0
