# Is not Python.
# status: load_error
# says: SyntaxError

def label_function(text) return 1
