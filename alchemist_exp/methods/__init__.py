"""Ways of labeling a dataset; each ends in soft labels for every split, and so meets the same evaluation."""
