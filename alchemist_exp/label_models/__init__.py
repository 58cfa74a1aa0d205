"""Label models: the votes of noisy programs to soft labels."""
