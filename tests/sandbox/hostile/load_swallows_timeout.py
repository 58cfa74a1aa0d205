# Loops forever while it is loaded, and catches the timeout.
# status: load_error
# says: stall

while True:
    try:
        while True:
            pass
    except BaseException:
        pass
