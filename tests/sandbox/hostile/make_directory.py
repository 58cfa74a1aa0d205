# Makes a directory.
# row: exception
# gap in none: makes the directory

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        os.mkdir("SCRATCH/written")
        return 1
    return 1 if "7" in text else 0
