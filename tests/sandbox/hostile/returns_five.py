# Returns a class that does not exist.
# row: out_of_range


def label_function(text):
    if text.startswith("ATTACK"):
        return 5
    return 1 if "7" in text else 0
