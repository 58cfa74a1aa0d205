"""Sweeps: the list of jobs, their run keys, and running those that have no finished run."""
