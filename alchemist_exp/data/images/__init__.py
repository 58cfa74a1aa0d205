"""Images as rows: files of any common format, and drawn birds with known attributes."""
