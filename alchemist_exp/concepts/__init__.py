"""Concepts of images: what an LLM names, which of them are kept, and how programs receive their scores."""
