"""The stages of a run: how long each took, and what a person sees while it lasts."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Shows one bar at a time."""

    def start(self, what: str, total: int | None) -> None:
        """A stage begins; `total` steps are ahead, None when they cannot be counted."""

    def advance(self, steps: int) -> None:
        """So many steps are done."""

    def note(self, text: str) -> None:
        """Shows `text` beside the bar, in the place of what was noted before."""

    def stop(self) -> None:
        """The stage is over."""


class NoProgress:
    """Progress that shows nothing."""

    def start(self, what: str, total: int | None) -> None:
        """Show nothing when a stage begins."""

    def advance(self, steps: int) -> None:
        """Show nothing when steps are done."""

    def note(self, text: str) -> None:
        """Show nothing of a note."""

    def stop(self) -> None:
        """Show nothing when a stage ends."""


class StageProgress:
    """Times stages and shows their progress."""

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._began = time.perf_counter()

    @contextmanager
    def stage(self, name: str, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Runs one stage; gives the function that reports finished steps. Times of the same name add up."""
        began = time.perf_counter()
        self._progress.start(what, total)
        try:
            yield self._progress.advance
        finally:
            self._progress.stop()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def note(self, text: str) -> None:
        """Shows `text` beside the running stage's bar."""
        self._progress.note(text)

    def finish(self) -> dict[str, float]:
        """Seconds per stage and in `total`, to the millisecond."""
        self.seconds["total"] = time.perf_counter() - self._began
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}
