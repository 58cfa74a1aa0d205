# Returns a coroutine.
# row: bad_type


def label_function(text):
    if text.startswith("ATTACK"):
        async def late():
            return 1

        return late()
    return 1 if "7" in text else 0
