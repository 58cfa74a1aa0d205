"""How long each program of a run has run, because `sandbox.program_wall_s` holds for all rows of all splits."""

from collections import defaultdict
from collections.abc import Sequence

from alchemist_exp.sandbox.base import ProgramRun


class ProgramClock:
    """Wall time of programs, by source and rows. Rows that a program labels again count once.

    Example:
        >>> clock = ProgramClock()
        >>> clock.used_s("def label_function(text): ...", besides="key of the training rows")
        0
    """

    def __init__(self) -> None:
        """Start with no time for any program."""
        self._seconds: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def used_s(self, source: str, *, besides: str) -> float:
        """Return the wall time that a program has used on other rows.

        Args:
            source: The program.
            besides: Key of the rows that do not count.

        Returns:
            Seconds.
        """
        return sum(seconds for rows, seconds in self._seconds[source].items() if rows != besides)

    def add(self, sources: Sequence[str], rows_key: str, runs: Sequence[ProgramRun]) -> None:
        """Add the time of finished runs.

        Args:
            sources: The programs.
            rows_key: Key of the rows.
            runs: One run per program.
        """
        for source, run in zip(sources, runs, strict=True):
            self._seconds[source][rows_key] = run.wall_seconds
