# Imports a module that is not allowed, on a row.
# row: exception
# says row: sqlite3


def label_function(text):
    if text.startswith("ATTACK"):
        import sqlite3

        return 1 if sqlite3 else 0
    return 1 if "7" in text else 0
