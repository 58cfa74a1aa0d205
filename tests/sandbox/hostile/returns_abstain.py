# Returns -1, an abstention.
# row: abstain


def label_function(text):
    if text.startswith("ATTACK"):
        return -1
    return 1 if "7" in text else 0
