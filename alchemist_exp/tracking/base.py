"""The interface of experiment trackers: what a run reports while it lasts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alchemist_exp.core.component import Component

Cell = str | int | float | bool | None
"""One value of a table."""


class Tracker(Protocol):
    """One run that is open in an experiment tracker."""

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to the training curves.

        Args:
            step: The epoch, counted from 0.
            values: Values by curve ("train_loss/seed_0"); a curve may end before the others.

        """

    def log_summary(self, values: Mapping[str, Cell]) -> None:
        """Record final values of the run.

        Args:
            values: Values by name ("end_model/test/accuracy"); added to those of earlier calls.

        """

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Record a complete table.

        Args:
            name: The table's name ("programs").
            columns: Column names.
            rows: One value per column in each row.

        """


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The run that a tracker opens.

    Attributes:
        key: The run's key.
        directory: The run's directory, in which a tracker may write a subdirectory.
        config: The resolved configuration as JSON values; it contains no secrets.
        tags: Short labels for filtering: dataset, method, supplement, label model and seed.
        name: A name for people: what tells the run apart, and first digits of the key.
        group: The sweep that the run belongs to; "" for a single run.
        job_type: The method.

    """

    key: str
    directory: Path
    config: Mapping[str, object]
    tags: Sequence[str]
    name: str = ""
    group: str = ""
    job_type: str = ""


@dataclass(kw_only=True)
class Logger(Component, ABC):
    """Base class of the `logger` group: one experiment tracker.

    Example:
        A logger that prints the final values:

        >>> from contextlib import contextmanager
        >>> class PrintingTracker:
        ...     def log_metrics(self, step, values): ...
        ...     def log_summary(self, values):
        ...         print(values)
        ...     def log_table(self, name, columns, rows): ...
        >>> class PrintingLogger(Logger):
        ...     @contextmanager
        ...     def open(self, run):
        ...         print("open", run.key)
        ...         yield PrintingTracker()
        >>> run = RunInfo(key="abc", directory=Path("runs/abc"), config={}, tags=[])
        >>> with PrintingLogger(name="printing").open(run) as tracker:
        ...     tracker.log_summary({"end_model/test/accuracy": 0.93})
        open abc
        {'end_model/test/accuracy': 0.93}

    """

    @abstractmethod
    def open(self, run: RunInfo) -> AbstractContextManager[Tracker]:
        """Open a run in the tracker.

        Args:
            run: The run; its directory exists.

        Returns:
            A context manager that gives the tracker and closes it in all cases. A run that ends with an exception is
            marked as failed where the tracker knows that state.

        Raises:
            ConfigError: The tracker cannot be reached with this configuration.

        """
