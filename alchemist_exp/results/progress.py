"""The progress bar of a run, on standard error, so that standard output can be piped."""

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

_LINE_EVERY_S: Final = 30.0
"""Seconds between lines about a stage where standard error is not a terminal."""


class _Rate(ProgressColumn):
    """A column with the steps per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or the seconds of a slow step; empty before the first step."""
        if not task.speed:
            return Text("")
        return Text(f"{task.speed:,.0f}/s" if task.speed >= 1 else f"{1 / task.speed:,.1f} s each", style="dim")


class RichProgress:
    """A bar that disappears when its stage ends; a line every 30 seconds where there is no terminal.

    Args:
        bars: False for lines on a terminal too, because several processes write to it.

    """

    def __init__(self, *, bars: bool = True) -> None:
        """Begin without a stage; the first call of `start` shows a bar or a line."""
        self._bars = bars
        self._bar: Progress | None = None
        self._printed_at = 0.0

    def start(self, what: str, total: int | None) -> None:
        """Show a bar.

        Args:
            what: The stage, for people.
            total: How many steps it has; None shows a spinner.

        """
        counted = [BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()] if total else []
        columns = [
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            *counted,
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        ]
        console = Console(stderr=True)
        self._bar = Progress(
            *columns, console=console, transient=True, disable=not (self._bars and console.is_terminal)
        )
        self._bar.add_task(what, total=total, note="")
        self._bar.start()
        self._printed_at = time.monotonic()

    def advance(self, steps: int) -> None:
        """Advance the bar.

        Args:
            steps: How many steps were done since the last call.

        """
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], steps)
            if self._bar.disable and time.monotonic() - self._printed_at >= _LINE_EVERY_S:
                self._printed_at = time.monotonic()
                (task,) = self._bar.tasks
                total = "" if task.total is None else f" of {task.total:,.0f}"
                note = f" ({task.fields['note']})" if task.fields["note"] else ""
                text = f"{task.description}: {task.completed:,.0f}{total} after {task.elapsed:,.0f} s{note}"
                print(text, file=sys.stderr)

    def note(self, text: str) -> None:
        """Show a text at the end of the bar.

        Args:
            text: For example the dollars spent so far.

        """
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], note=text)

    def stop(self) -> None:
        """Remove the bar; does nothing without one."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
