"""What every other package may rest on: values, errors, hashing, whole-or-nothing files, seeding."""
