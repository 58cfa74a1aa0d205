# Replaces modules and functions that all code uses.
# row: crash or exception

import collections
import json
import re


def label_function(text):
    if text.startswith("ATTACK"):
        builtins = collections._sys.modules["builtins"]
        re.compile = re.search = json.dumps = None
        builtins.len = builtins.type = builtins.enumerate = None
        return 1
    return 1 if "7" in text else 0
