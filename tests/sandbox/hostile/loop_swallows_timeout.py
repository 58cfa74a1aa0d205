# Loops forever and catches the timeout.
# row: timeout


def label_function(text):
    if text.startswith("ATTACK"):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
    return 1 if "7" in text else 0
