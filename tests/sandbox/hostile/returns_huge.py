# Returns a number that does not fit into a vote.
# row: out_of_range


def label_function(text):
    if text.startswith("ATTACK"):
        return 10**30
    return 1 if "7" in text else 0
