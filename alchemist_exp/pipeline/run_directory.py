"""The directory of a run: what an earlier run wrote is removed, and space is kept for the record of a failure."""

import os
import shutil
from pathlib import Path

from alchemist_exp.core.atomic_io import explain_write_errors, write_bytes
from alchemist_exp.pipeline.artifacts import CONCEPTS, IMAGES, LABELS, MODEL, PROGRAMS
from alchemist_exp.pipeline.saved_components import COMPONENTS, LABEL_MODEL
from alchemist_exp.results.record import REPORT

CREATED = (
    PROGRAMS,
    MODEL,
    LABELS,
    IMAGES,
    CONCEPTS,
    LABEL_MODEL,
    COMPONENTS,
    REPORT,
    "csv",
    "wandb",
)
"""What a run writes next to its record. Files of an earlier run are removed before the run begins again."""

RESERVE, RESERVED_BYTES = ".reserve", 1 << 16
"""A file that keeps disk space free, so that a run that fails on a full disk can still record its failure."""


def clear_directory(directory: Path) -> None:
    """Remove what an earlier run wrote, and the drafts of a killed one.

    Args:
        directory: The directory of a run, which need not exist.

    Raises:
        StoreError: A file cannot be removed.

    """
    with explain_write_errors(directory):
        for path in [*(directory / name for name in CREATED), *directory.glob(".*")]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def reserve_space(directory: Path) -> None:
    """Write the file `RESERVE`, which no file system can compress.

    Args:
        directory: The directory of a run.

    """
    write_bytes(directory / RESERVE, os.urandom(RESERVED_BYTES))
