"""Benchmarks: `make bench`. Each compares with a named peer in the same run, since machines are noisy."""
