"""Preparation of the paper's datasets from the files that their publishers offer. No run imports this package."""
