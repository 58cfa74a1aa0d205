"""One module per LLM provider, and what they share."""
