# Returns a bool.
# row: bad_type


def label_function(text):
    if text.startswith("ATTACK"):
        return True
    return 1 if "7" in text else 0
