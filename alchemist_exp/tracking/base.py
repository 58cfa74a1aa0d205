"""What a logger is told while a run lasts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alchemist_exp.core.component import Component

Cell = str | int | float | bool | None


class Tracker(Protocol):
    """One open run of a logger."""

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """A point of the training curves."""

    def log_summary(self, values: Mapping[str, Cell]) -> None:
        """Final figures, by name."""

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """A table, whole."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a logger is told when a run begins. folder: the run's own. config: plain, without secrets."""

    key: str
    directory: Path
    config: Mapping[str, object]
    tags: Sequence[str]


@dataclass(kw_only=True)
class Logger(Component, ABC):
    """A logger group member."""

    @abstractmethod
    def open(self, run: RunInfo) -> AbstractContextManager[Tracker]:
        """A tracker, closed in all cases; a run that ends in an exception is marked failed."""
