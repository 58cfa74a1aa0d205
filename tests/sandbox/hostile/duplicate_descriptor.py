# Duplicates every possible descriptor number.
# row: exception

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        for fd in range(64):
            try:
                return 1 if os.dup(fd) else 1
            except OSError:
                pass
        raise OSError("nothing to duplicate")
    return 1 if "7" in text else 0
