"""Tells nobody; the record is written all the same."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from alchemist_exp.core.component import component
from alchemist_exp.tracking.base import Cell, Logger, RunInfo, Tracker


class _Silent:
    def log_metrics(self, step: int, values: Mapping[str, float]) -> None: ...

    def log_summary(self, values: Mapping[str, Cell]) -> None: ...

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None: ...


@component("logger", "none")
@dataclass(kw_only=True)
class NoLogger(Logger):
    """No logger."""

    @contextmanager
    def open(self, run: RunInfo) -> Iterator[Tracker]:
        """A tracker that keeps nothing."""
        yield _Silent()
