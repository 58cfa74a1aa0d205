# Deletes a file.
# row: exception
# gap in none: deletes the file

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        os.unlink("SCRATCH/victim")
        return 1
    return 1 if "7" in text else 0
