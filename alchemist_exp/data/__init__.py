"""Datasets: embedded with the package or the user's own files; Hugging Face `datasets` underneath."""
