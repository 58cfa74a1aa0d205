"""W&B and the simpler loggers; the only place that imports wandb."""
