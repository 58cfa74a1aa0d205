"""A progress display that shows nothing."""

from alchemist_exp.core.progress import NoProgress

__all__ = ["NoProgress"]
