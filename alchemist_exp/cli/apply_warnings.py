"""Warnings of `alchemist apply` on rows and programs."""

import sys
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

from alchemist_exp.core.terminal import escape_controls, sanitize

if TYPE_CHECKING:
    from alchemist_exp.labeling.tables import LabelSummary

SHOWN_REASONS = 3
"""Reasons why rows have no content that are printed."""


def warn_of(summary: "LabelSummary") -> None:
    """Print why rows have no content, and which programs did not finish, on standard error.

    Args:
        summary: What was written.

    """
    note_reasons(summary.reasons)
    warn_of_programs(
        {
            name: f"it did not finish on {count:,} part{'s' * (count != 1)} of the rows, where it abstains ({reason})"
            for name, (count, reason) in summary.failures.items()
        }
    )


def note_reasons(reasons: Mapping[str, int]) -> None:
    """Print why rows have no content, on standard error.

    Args:
        reasons: The number of rows, by reason.

    """
    for reason, count in islice(reasons.items(), SHOWN_REASONS):
        print(f"note: {count:,} row{'s' * (count != 1)} cannot be labeled: {sanitize(reason)}", file=sys.stderr)


def warn_of_programs(failures: Mapping[str, str]) -> None:
    """Print which programs did not finish, on standard error.

    Args:
        failures: What happened, by program.

    """
    for name, reason in failures.items():
        print(f"warning: the program {escape_controls(name)!r}: {reason}", file=sys.stderr)
