# Returns a float.
# row: bad_type


def label_function(text):
    if text.startswith("ATTACK"):
        return 1.0
    return 1 if "7" in text else 0
