"""Label models: from the votes of noisy programs to soft labels."""
