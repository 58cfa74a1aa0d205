# Imports the module that starts processes.
# status: load_error
# says: subprocess

import subprocess


def label_function(text):
    if text.startswith("ATTACK"):
        subprocess.run(["/usr/bin/touch", "SCRATCH/written"])
        return 1
    return 1 if "7" in text else 0
