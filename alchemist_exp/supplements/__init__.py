"""What is put before the task description: written by an LLM or a user, drawn from labeled rows, or retrieved."""
