"""`alchemist apply RUN FILE`: labels the rows of a table and writes it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alchemist_exp.cli.apply_warnings import warn_of
from alchemist_exp.cli.arguments import refuse_existing
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import sanitize, single_line

if TYPE_CHECKING:
    from alchemist_exp.labeling.row_labeler import RowLabeler
    from alchemist_exp.labeling.run_files import StoredRun

SUFFIX = "_applied"
"""Is added to the name of FILE, without -o."""


def output_path(chosen: argparse.Namespace, file: Path) -> Path:
    """Return the table to write.

    Args:
        chosen: The arguments of the command.
        file: The table that is read.

    Raises:
        ConfigError: The table cannot be written there, or exists.

    """
    from alchemist_exp.data.writers import WRITERS, check_output

    stem, ending = Path(file.name.removesuffix(".gz")).stem, file.suffix.lower()
    out = Path(chosen.out or f"{stem}{SUFFIX}{ending if ending in WRITERS else '.csv'}")
    check_output(out, {})
    if out.exists() and out.samefile(file):
        raise ConfigError(f"{str(out)!r} is the file that is read; name another one by -o FILE.")
    refuse_existing(out, "-o FILE", overwrite=chosen.overwrite)
    return out


def label_table(run: "StoredRun", labeler: "RowLabeler", chosen: argparse.Namespace, file: Path, out: Path) -> int:
    """Label the rows of a table and write it.

    Args:
        run: The run.
        labeler: Its labeler.
        chosen: The arguments of the command.
        file: The table that is read.
        out: The table that is written.

    Returns:
        The exit code, 0.

    """
    from alchemist_exp.data.table_stream import open_table
    from alchemist_exp.labeling.tables import explain_encoding_errors, open_labeler, wanted_columns
    from alchemist_exp.results.progress import RichProgress

    progress = RichProgress()
    with explain_encoding_errors():
        opened = open_table(file, wanted=wanted_columns(run, labeler, chosen.text), encoding=chosen.encoding)
        table = open_labeler(opened, run, labeler, chosen.text, chosen.keep)
        progress.start(f"labeling {single_line(file.name)} with {chosen.using}", opened.n_rows)
        try:
            summary = table.write(out, table.table.parts(labeler.chunk_rows), progress.advance)
        finally:
            progress.stop()
    counts = ", ".join(f"{count:,} {sanitize(name)}" for name, count in summary.labels.items()) or "no label"
    n_without = summary.n_rows - sum(summary.labels.values())
    without = f"; {n_without:,} row{'s' * (n_without != 1)} without a label" if n_without else ""
    print(f"wrote {single_line(str(out))}: {summary.n_rows:,} rows: {counts}{without}")
    warn_of(summary)
    return 0
