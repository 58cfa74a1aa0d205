# Converts a huge number to text and back.
# row: exception

def label_function(text):
    if text.startswith("ATTACK"):
        return int(str(1 << 100_000))
    return 1 if "7" in text else 0
