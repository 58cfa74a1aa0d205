# Keeps ten megabytes for every row.
# status: ok
# row: exception
# others: changed

KEPT = []


def label_function(text):
    KEPT.append(bytearray(10 << 20))
    return 1 if "7" in text else 0
