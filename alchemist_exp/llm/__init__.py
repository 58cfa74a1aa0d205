"""Requests, completions, the reply cache and the providers."""
