"""The LLM providers, one module each, and the modules that they share."""
