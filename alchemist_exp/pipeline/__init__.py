"""One experiment from configuration to record: `run.py` has the paper's stages in order."""
