# Returns a negative number other than -1.
# row: out_of_range


def label_function(text):
    if text.startswith("ATTACK"):
        return -2
    return 1 if "7" in text else 0
