# Raises what is meant to end the interpreter.
# row: exception


def label_function(text):
    if text.startswith("ATTACK"):
        raise KeyboardInterrupt
    return 1 if "7" in text else 0
