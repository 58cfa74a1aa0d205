"""Datasets, embedded in the package or in the user's own files; the tables are those of Hugging Face `datasets`."""
