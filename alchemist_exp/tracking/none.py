"""The logger that records nothing; the run's record is written with every logger."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from alchemist_exp.core.component import component
from alchemist_exp.tracking.base import Cell, Logger, RunInfo, Tracker


class _NoTracker:
    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore the point of the curves."""

    def log_summary(self, values: Mapping[str, Cell]) -> None:
        """Ignore the final values of the run."""

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Ignore the table and its rows."""


@component("logger", "none")
@dataclass(kw_only=True)
class NoLogger(Logger):
    """Records nothing outside the run's record."""

    @contextmanager
    def open(self, run: RunInfo) -> Iterator[Tracker]:
        """Open nothing.

        Args:
            run: Not used.

        Yields:
            A tracker that ignores its values.

        """
        yield _NoTracker()
