# Hooks the collector and a destructor, to run between rows.
# row: vote

import collections

gc = collections._sys.modules["builtins"].__import__("gc")


class Late:
    def __del__(self):
        raise BaseException("from a destructor")


def label_function(text):
    if text.startswith("ATTACK"):
        gc.callbacks.append(lambda *a: 1 / 0)
        loop = Late()
        loop.self = loop
        del loop
        gc.collect()
        return 0
    return 1 if "7" in text else 0
