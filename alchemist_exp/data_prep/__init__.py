"""Makes the paper's datasets from the files as their publishers give them out. No run needs this package."""
