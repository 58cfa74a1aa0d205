# Runs a command in a shell while it is loaded.
# status: violation
# gap in none: starts a process, as root

import collections

os = collections._sys.modules["os"]

os.system("touch SCRATCH/written")


def label_function(text):
    return 1
