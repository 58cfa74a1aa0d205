"""The stages of a run: their duration, and the progress that is shown while they last."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Shows the progress of one stage at a time.

    Example:
        >>> class Silent:
        ...     def start(self, what, total): ...
        ...     def advance(self, steps): ...
        ...     def note(self, text): ...
        ...     def stop(self): ...
        >>> stages = StageProgress(Silent())
        >>> with stages.stage("votes", "running 2 programs", total=2) as advance:
        ...     advance(2)
        >>> list(stages.finish())
        ['votes', 'total']

    """

    def start(self, what: str, total: int | None) -> None:
        """Begin a stage.

        Args:
            what: What the stage does ("running 10 programs").
            total: How many steps it has; None when they cannot be counted.

        """

    def advance(self, steps: int) -> None:
        """Count further steps as done.

        Args:
            steps: How many steps were finished since the last call.

        """

    def note(self, text: str) -> None:
        """Show a short text next to the progress bar; it replaces the previous one.

        Args:
            text: One line.

        """

    def stop(self) -> None:
        """End the stage, also after an error."""


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
    """Measures how long each stage takes and reports its progress.

    Args:
        progress: Where the progress is shown.

    Attributes:
        seconds: Duration by stage name; stages of the same name add up.
        on_stage: Called with what a stage does when it begins; None calls nothing.

    """

    def __init__(self, progress: Progress) -> None:
        """Start to measure the total time."""
        self.seconds: dict[str, float] = {}
        self.on_stage: Callable[[str], None] | None = None
        self._progress = progress
        self._began = time.perf_counter()

    @contextmanager
    def stage(self, name: str, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Run one stage in a `with` block.

        Args:
            name: The key in `seconds`.
            what: See `Progress.start`.
            total: See `Progress.start`.

        Yields:
            The function that counts finished steps.

        """
        began = time.perf_counter()
        self._progress.start(what, total)
        if self.on_stage:
            self.on_stage(what)
        try:
            yield self._progress.advance
        finally:
            self._progress.stop()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def note(self, text: str) -> None:
        """Show a short text next to the progress bar of the running stage."""
        self._progress.note(text)

    def finish(self) -> dict[str, float]:
        """End the measurement.

        Returns:
            Seconds by stage name and in "total" since the object was made, rounded to milliseconds.

        """
        self.seconds["total"] = time.perf_counter() - self._began
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}
