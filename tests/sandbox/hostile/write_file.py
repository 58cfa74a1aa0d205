# Writes a file.
# row: exception


def label_function(text):
    if text.startswith("ATTACK"):
        open("SCRATCH/written", "w").write("x")
        return 1
    return 1 if "7" in text else 0
