"""`alchemist apply RUN`: labels the lines of standard input."""

import io
import sys
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from alchemist_exp.cli.apply_warnings import note_reasons, warn_of_programs
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.label_sets import SEPARATOR, classes_of
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import ABSTAIN

if TYPE_CHECKING:
    from alchemist_exp.labeling.row_labeler import RowLabeler


def label_lines(labeler: "RowLabeler") -> int:
    """Label the lines of standard input, part by part.

    Args:
        labeler: The labeler of a run.

    Returns:
        The exit code, 0.

    """
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "surrogateescape")):
        if isinstance(stream, io.TextIOWrapper):
            # No translation: a lone carriage return is part of a text. Bytes that are not UTF-8 are printed unchanged.
            stream.reconfigure(encoding="utf-8", errors=errors, newline="\n")
    if sys.stdin.isatty():
        print("reading one row per line; Ctrl-D ends the input", file=sys.stderr)
    from alchemist_exp.labeling.label_columns import shown_label

    classes = [single_line(name) for name in labeler.classes]
    rng = np.random.default_rng(0)
    failed: dict[str, str] = {}
    reasons: Counter[str] = Counter()
    lines = (line.removesuffix("\n").removesuffix("\r") for line in sys.stdin)
    first = 1
    while part := list(islice(lines, labeler.chunk_rows)):
        rows = []
        for number, line in enumerate(part, start=first):
            try:
                rows.append(labeler.kind.parse(line))
            except ValueError as error:
                raise ConfigError(f"line {number}: {error}") from error
        found = labeler.label(rows, rng)
        failed = {**found.failures, **failed}
        reasons.update(filter(None, map(labeler.kind.reason_without_content, rows)))
        for line, label, probs in zip(part, found.classes.tolist(), found.probs.tolist(), strict=True):
            # Of several classes, the probability of each one that holds.
            shares = [probs[c] for c in classes_of(label)] if labeler.multi_label and label != ABSTAIN else [max(probs)]
            shown = shown_label(label, labeler, classes), SEPARATOR.join(f"{share:.3f}" for share in shares)
            print(*(("", "") if label == ABSTAIN else shown), line, sep="\t")
        sys.stdout.flush()
        first += len(part)
    note_reasons(reasons)
    warn_of_programs({name: f"it did not finish on some rows ({reason})" for name, reason in failed.items()})
    return 0
