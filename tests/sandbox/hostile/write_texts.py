# Writes over the texts of the others.
# row: exception

import collections

gc = collections._sys.modules["builtins"].__import__("gc")


def label_function(text):
    if text.startswith("ATTACK"):
        for candidate in gc.get_objects():
            if type(candidate).__name__ == "Texts":
                candidate._memory[0:8] = b"\xff" * 8
        return 1
    return 1 if "7" in text else 0
