"""Alchemist: label datasets with programs an LLM writes, weigh their votes, distil a small model."""

__version__ = "0.1.0"
