# Reads a file.
# row: exception


def label_function(text):
    if text.startswith("ATTACK"):
        return 1 if open("SCRATCH/victim").read() else 0
    return 1 if "7" in text else 0
