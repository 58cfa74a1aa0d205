# Divides by zero while it is loaded.
# status: load_error
# says: line 5: ZeroDivisionError

1 / 0
