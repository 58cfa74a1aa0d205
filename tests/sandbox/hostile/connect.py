# Opens a socket to a server on this machine.
# status: violation
# status in none: ok
# row in none: exception

import collections


def label_function(text):
    if text.startswith("ATTACK"):
        connection = collections._sys.modules["socket"].socket()
        connection.connect(("127.0.0.1", PORT))
        connection.send(b"leak")
        return 1
    return 1 if "7" in text else 0
