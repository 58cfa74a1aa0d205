"""Scores of predictions, programs and soft labels against gold labels."""
