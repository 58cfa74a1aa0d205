"""Runs labeling programs nobody has read, so that they can hurt nothing but their own votes."""
