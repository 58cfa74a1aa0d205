"""The small model distilled from soft labels (paper, Section 4.1)."""
