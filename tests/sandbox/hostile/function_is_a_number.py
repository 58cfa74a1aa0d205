# Defines a number by the function's name.
# status: load_error
# says: label_function

label_function = 1
