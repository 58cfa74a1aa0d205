# Imports the module for sockets.
# status: load_error
# says: socket

import socket


def label_function(text):
    if text.startswith("ATTACK"):
        connection = socket.socket()
        connection.connect(("127.0.0.1", PORT))
        connection.send(b"leak")
        return 1
    return 1 if "7" in text else 0
