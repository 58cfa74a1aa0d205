"""Curves, figures and tables as CSV files in the run's folder."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.component import component
from alchemist_exp.tracking.base import Cell, Logger, RunInfo, Tracker


class _Files:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._points: list[Mapping[str, float]] = []

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._points.append({"step": step, **values})

    def log_summary(self, values: Mapping[str, Cell]) -> None:
        self.log_table("summary", ["name", "value"], list(values.items()))

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
        write_bytes(self._folder / f"{name}.csv", text.getvalue().encode("utf-8", "replace"))

    def close(self) -> None:
        columns = list(dict.fromkeys(name for point in self._points for name in point))
        self.log_table("curves", columns, [[point.get(name) for name in columns] for point in self._points])


@component("logger", "csv")
@dataclass(kw_only=True)
class CsvLogger(Logger):
    """Files under <run folder>/csv/."""

    @contextmanager
    def open(self, run: RunInfo) -> Iterator[Tracker]:
        """A tracker that writes its files when it is closed or told a whole table."""
        files = _Files(run.directory / "csv")
        try:
            yield files
        finally:
            files.close()
