# Renames a file.
# row: exception
# gap in none: renames the file

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        os.rename("SCRATCH/victim", "SCRATCH/written")
        return 1
    return 1 if "7" in text else 0
