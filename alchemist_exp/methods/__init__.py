"""Ways to label a dataset. All end in soft labels, so all are evaluated in the same way."""
