"""Feature extractors: they turn texts into the numbers that the end model is trained on."""
