# Opens a socket with the interpreter's own module.
# status: violation
# status in none: ok
# row in none: exception

import collections


def label_function(text):
    if text.startswith("ATTACK"):
        connection = collections._sys.modules["_socket"].socket()
        connection.connect(("127.0.0.1", PORT))
        connection.send(b"leak")
        return 1
    return 1 if "7" in text else 0
