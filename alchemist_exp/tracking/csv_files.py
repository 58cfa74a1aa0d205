"""Writes curves, summary and tables as CSV files in the run's directory."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.component import component
from alchemist_exp.core.terminal import without_formula
from alchemist_exp.tracking.base import Cell, Logger, RunInfo, Tracker


class _CsvTracker:
    def __init__(self, directory: Path) -> None:
        """Write the files to `directory`, which need not exist."""
        self._directory = directory
        self._points: list[Mapping[str, float]] = []

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep a point until the tracker is closed: only then are all columns known."""
        self._points.append({"step": step, **values})

    def log_summary(self, values: Mapping[str, Cell]) -> None:
        """Write summary.csv, which the next call replaces."""
        self.log_table("summary", ["name", "value"], list(values.items()))

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Write <name>.csv as soon as it is given."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        for row in (columns, *rows):
            # Names of classes and messages of programs are other people's texts.
            writer.writerow([without_formula(cell) if isinstance(cell, str) else cell for cell in row])
        # A lone surrogate in a cell, which UTF-8 cannot encode, becomes "?".
        write_bytes(self._directory / f"{name}.csv", text.getvalue().encode("utf-8", "replace"))

    def close(self) -> None:
        """Write curves.csv; a cell is empty where a curve has ended."""
        columns = list(dict.fromkeys(name for point in self._points for name in point))
        self.log_table("curves", columns, [[point.get(name) for name in columns] for point in self._points])


@component("logger", "csv")
@dataclass(kw_only=True)
class CsvLogger(Logger):
    """Writes CSV files to <run directory>/csv/."""

    @contextmanager
    def open(self, run: RunInfo) -> Iterator[Tracker]:
        """Open the CSV files of a run.

        Args:
            run: The run; the files are written to csv/ in its directory.

        Yields:
            A tracker that writes tables at once and the curves when it is closed.

        """
        tracker = _CsvTracker(run.directory / "csv")
        try:
            yield tracker
        finally:
            tracker.close()
