"""Scores: predictions, programs and soft labels against gold."""
