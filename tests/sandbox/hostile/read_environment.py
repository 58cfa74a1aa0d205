# Searches the environment for keys.
# row: exception

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        if any("KEY" in name for name in os.environ):
            return 1
        raise RuntimeError(",".join(os.environ))
    return 1 if "7" in text else 0
