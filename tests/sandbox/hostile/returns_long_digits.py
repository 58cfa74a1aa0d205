# Returns a number with too many digits to print.
# row: out_of_range

def label_function(text):
    if text.startswith("ATTACK"):
        return -(1 << 1_000_000)
    return 1 if "7" in text else 0
