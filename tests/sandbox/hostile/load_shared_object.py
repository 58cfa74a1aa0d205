# Loads machine code from a file.
# row: exception

import collections


def label_function(text):
    if text.startswith("ATTACK"):
        machinery = collections._sys.modules["importlib.machinery"]
        loader = machinery.ExtensionFileLoader("x", "SCRATCH/victim")
        loader.create_module(machinery.ModuleSpec("x", loader))
        return 1
    return 1 if "7" in text else 0
