"""Runs unreviewed labeling programs, so that they can damage nothing but their own votes."""
