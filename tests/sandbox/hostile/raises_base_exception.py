# Raises KeyboardInterrupt, which `except Exception` does not catch.
# row: exception


def label_function(text):
    if text.startswith("ATTACK"):
        raise KeyboardInterrupt
    return 1 if "7" in text else 0
