# Returns a str.
# row: bad_type


def label_function(text):
    if text.startswith("ATTACK"):
        return "spam"
    return 1 if "7" in text else 0
