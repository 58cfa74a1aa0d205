# Defines another function than the one asked for.
# status: load_error
# says: label_function

def labelling(text):
    return 1
