"""Records of runs: written, found again, shown."""
