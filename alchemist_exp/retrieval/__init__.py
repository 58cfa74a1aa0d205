"""Retrieval of passages from the user's documents: read, split and rank by BM25."""
