"""Rounds of improvement: further programs for the rows that the first ones label badly or not at all."""
