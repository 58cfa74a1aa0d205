"""The commands of `alchemist` beside `run`, one module each. None needs Hydra or torch."""
