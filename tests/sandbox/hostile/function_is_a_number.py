# Assigns a number to the name of the function.
# status: load_error
# says: label_function

label_function = 1
