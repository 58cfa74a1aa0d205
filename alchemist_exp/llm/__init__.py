"""LLM calls: requests, responses, the response cache, limits, cost and providers."""
