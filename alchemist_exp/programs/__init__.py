"""Labeling programs: taken from replies or files, vetted, executed in the sandbox."""
