"""Labels new rows with a finished run."""
