# Loops for ever while it is loaded, and catches what would interrupt it.
# status: load_error
# says: stall

while True:
    try:
        while True:
            pass
    except BaseException:
        pass
