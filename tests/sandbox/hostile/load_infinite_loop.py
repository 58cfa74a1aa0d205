# Loops forever while it is loaded.
# status: load_error
# says: loading

while True:
    pass


def label_function(text):
    return 1
