# Returns None.
# row: bad_type


def label_function(text):
    if text.startswith("ATTACK"):
        return None
    return 1 if "7" in text else 0
