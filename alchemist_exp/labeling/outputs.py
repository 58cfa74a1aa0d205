"""Parquet files with labels that say in their metadata what they were made of, so that they are made once."""

import json
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from alchemist_exp.labeling.tables import LabelSummary

METADATA: Final = "alchemist_apply"
"""The key of the metadata of an output."""

MAX_STORED_REASONS: Final = 20
"""Reasons why rows have no content that an output stores."""


def output_metadata(identity: dict[str, Any], summary: LabelSummary) -> dict[str, str]:
    """Return the metadata of an output.

    Args:
        identity: What it is made of, see `LabelingJob.identity`.
        summary: What is in it.

    """
    shown = replace(summary, reasons=dict(islice(summary.reasons.items(), MAX_STORED_REASONS)))
    return {METADATA: json.dumps({**identity, "summary": asdict(shown)})}


def read_summary(target: Path, identity: dict[str, Any]) -> LabelSummary | None:
    """Return what is in a finished output.

    Args:
        target: The output.
        identity: What it must be made of, see `LabelingJob.identity`.

    Returns:
        The summary; None if there is no output, or if it was made of something else.

    """
    stored = _stored(target)
    summary = stored.pop("summary", None)
    if stored != identity or not isinstance(summary, dict):
        return None
    try:
        failures = {name: (int(count), str(reason)) for name, (count, reason) in summary.pop("failures").items()}
        return LabelSummary(**summary, failures=failures)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def source_of(target: Path) -> str | None:
    """Return the name of the source of an output; None if the file is not an output."""
    source = _stored(target).get("source")
    return str(source.get("name")) if isinstance(source, dict) else None


def _stored(target: Path) -> dict[str, Any]:
    """Return the metadata of an output; empty if it is not one."""
    import pyarrow
    from pyarrow import parquet

    if not target.is_file():
        return {}
    try:
        with parquet.ParquetFile(target) as file:
            found = json.loads((file.metadata.metadata or {}).get(METADATA.encode(), b"{}"))
    except (pyarrow.ArrowException, OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
