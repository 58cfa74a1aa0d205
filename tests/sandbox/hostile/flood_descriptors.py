# Writes to every possible descriptor number.
# row: vote

import collections

os = collections._sys.modules["os"]


def label_function(text):
    if text.startswith("ATTACK"):
        for fd in range(64):
            try:
                os.write(fd, b"x" * 100000)
            except OSError:
                pass
        return 1
    return 1 if "7" in text else 0
