# Asks the interpreter to end while it is loaded.
# status: load_error
# says: SystemExit

raise SystemExit(0)
