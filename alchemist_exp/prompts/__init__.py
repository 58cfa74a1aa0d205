"""The prompts sent to LLMs, in the paper's words by default (Section 3.1, Tables 6 and 7)."""
