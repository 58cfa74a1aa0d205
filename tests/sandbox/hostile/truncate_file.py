# Empties a file.
# row: exception
# gap in none: empties the file

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        os.truncate("SCRATCH/victim", 0)
        return 1
    return 1 if "7" in text else 0
