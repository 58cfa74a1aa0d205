"""The commands of `alchemist`, one module each. None but `run` and `label` imports torch."""
