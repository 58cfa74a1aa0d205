# Reads the memory map of this process.
# row: exception


def label_function(text):
    if text.startswith("ATTACK"):
        return 1 if open("/proc/self/maps").read() else 0
    return 1 if "7" in text else 0
