# Raises SystemExit while it is loaded.
# status: load_error
# says: SystemExit

raise SystemExit(0)
