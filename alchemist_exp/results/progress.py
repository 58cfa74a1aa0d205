"""What a person sees while a run lasts, on standard error, so that output can be piped."""

import sys
import time
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_TOLD_EVERY_S: Final = 30.0
"""Between lines about a stage where there is no terminal for a bar."""


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s", style="dim")


class RichProgress:
    """A bar on standard error, gone when its stage is over; on a file or a pipe, a line now and then."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._told = 0.0

    def start(self, what: str, total: int | None) -> None:
        """Shows a bar, or a spinner when `total` is None."""
        counted = [BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()] if total else []
        columns = [
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            *counted,
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        ]
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._bar.add_task(what, total=total, note="")
        self._bar.start()
        self._told = time.monotonic()

    def advance(self, steps: int) -> None:
        """Moves the bar on."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], steps)
            if self._bar.disable and time.monotonic() - self._told >= _TOLD_EVERY_S:
                self._told = time.monotonic()
                (task,) = self._bar.tasks
                total = "" if task.total is None else f" of {task.total:,.0f}"
                print(f"{task.description}: {task.completed:,.0f}{total} after {task.elapsed:,.0f} s", file=sys.stderr)

    def note(self, text: str) -> None:
        """Shows `text` at the end of the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], note=text)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
