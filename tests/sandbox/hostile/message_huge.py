# Raises an error of 10 MB.
# row: exception


def label_function(text):
    if text.startswith("ATTACK"):
        raise ValueError("A" * 10**7)
    return 1 if "7" in text else 0
