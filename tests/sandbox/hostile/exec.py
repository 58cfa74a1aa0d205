# Replaces itself by another program.
# status: violation
# gap in none: becomes another program

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        os.execv("/usr/bin/touch", ["touch", "SCRATCH/written"])
    return 1 if "7" in text else 0
