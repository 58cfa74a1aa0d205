"""Task and supplement to prompt, in the paper's words (Section 3.1, Tables 6 and 7)."""
