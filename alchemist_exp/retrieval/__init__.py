"""Finds the passages of a user's own documents that answer a question: read, split, rank."""
