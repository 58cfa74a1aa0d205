"""Chooses the rows of a run that a person should label first: doubtful, typical and different from each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.terminal import single_line, without_formula
from alchemist_exp.core.types import FloatArray, IntArray, LabelMatrix, Split
from alchemist_exp.data.reviewed import LABEL, ROW, TEXT, shown_text
from alchemist_exp.data.row_kind import RowKind, TablePart
from alchemist_exp.labeling.decoded_size import check_decoded_size
from alchemist_exp.labeling.model_labeler import ModelLabeler
from alchemist_exp.labeling.run_files import StoredRun
from alchemist_exp.methods.doubt import vote_entropy
from alchemist_exp.pipeline.artifacts import INPUT_PREFIX, LABELS
from alchemist_exp.programs.files import vote_columns

MAX_ROWS: Final = 50_000
"""Rows that are clustered; of a larger split an evenly spaced part is."""

MIN_WEIGHT: Final = 0.2
"""Weight of a row without doubt, when a row without a vote has about 1."""

_RESERVED: Final = ("split", "row", "gold", "weak_label", "predicted", "confidence")
_TEXT_COLUMN: Final = "text"


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRows:
    """The rows of a split of a run.

    Attributes:
        numbers: int64 array of shape (n_rows,): their numbers in the input, from 0.
        rows: The rows, as their kind stores them.
        matrix: The votes of the programs.
        programs: The column of each program's votes in the labels file.
        posterior: float32 array of shape (n_rows, n_classes): the soft labels; NaN for rows without one.

    """

    numbers: IntArray
    rows: Sequence[str]
    matrix: LabelMatrix
    programs: Sequence[str]
    posterior: FloatArray


def stored_columns(kind: RowKind) -> dict[str, str]:
    """Return the names that the columns of the input have in the labels file of a run.

    Args:
        kind: The kind of the rows, which are not images.

    Returns:
        The name in the labels file by the name of the column.

    """
    columns = [column.name for column in kind.columns] or [_TEXT_COLUMN]
    return {name: INPUT_PREFIX * (name in _RESERVED) + name for name in columns}


def read_rows(run: StoredRun, kind: RowKind, split: Split) -> RunRows:
    """Read the rows of a run with their votes and labels.

    Args:
        run: The run.
        kind: The kind of its rows.
        split: The split.

    Returns:
        The rows of the split that have content.

    Raises:
        ConfigError: The run has no votes, or none on this split.
        StoreError: A file is missing or broken.

    """
    import pandas as pd

    classes = run.classes
    stored = stored_columns(kind)
    columns = [*stored]
    shares = [f"p({name})" for name in classes]
    listed = run.record.programs.get("list") or []
    programs = vote_columns(program.get("file") or program["origin"] for program in listed)
    if not programs:
        raise ConfigError(
            f"the run {single_line(str(run.directory))} has no votes, from which doubt is measured; choose a run of a "
            "method with votes, such as method=alchemist."
        )
    try:
        wanted = ["split", "row", *stored.values(), *shares, *programs]
        check_decoded_size(run.directory / LABELS, columns=wanted)
        labels = pd.read_parquet(run.directory / LABELS, columns=wanted)
        labels = labels[labels["split"] == split.value]
        codes = [pd.Categorical(labels[name], categories=[*classes]).codes for name in programs]
        numbers, posterior = labels["row"].to_numpy(np.int64), labels[shares].to_numpy(np.float32)
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise StoreError(
            f"the labels in {run.directory} cannot be read ({single_line(str(error))}); run again with force=true."
        ) from error
    part = TablePart(
        file=run.directory / LABELS,
        columns={name: labels[of].tolist() for name, of in stored.items()},
    )
    rows = kind.parse_columns(part, columns)
    matrix = LabelMatrix(votes=np.stack(codes, axis=1).astype(np.int8), n_classes=len(classes))
    if not matrix.covered.any():
        raise ConfigError(f"the run {single_line(str(run.directory))} has no votes on {split}; choose another --split.")
    kept = np.flatnonzero([not kind.is_empty(row) for row in rows])
    if not len(kept):
        raise ConfigError(f"the run {single_line(str(run.directory))} has no row with content in {split}.")
    return RunRows(
        numbers=numbers[kept],
        rows=[rows[i] for i in kept],
        matrix=matrix.select(kept),
        programs=programs,
        posterior=posterior[kept],
    )


def choose_rows(doubt: FloatArray, features: FloatArray, n: int) -> IntArray:
    """Choose rows that are worth labeling.

    Rows are clustered by k-means, each with its doubt as weight, so there are more clusters where rows are doubtful.
    The row nearest to the center of each cluster is chosen. The most doubtful rows themselves would be a biased sample:
    programs are wrong on them more often than elsewhere, so accuracies that are estimated on them are too low.

    Args:
        doubt: float32 array of shape (n_rows,), 0 or more.
        features: float32 array of shape (n_rows, n_features).
        n: Rows to choose.

    Returns:
        int64 array of shape (n,) or less: row numbers, those of the clusters with the most weight first. The same
        arguments give the same rows.

    Example:
        >>> features = np.array([[1, 0], [0, 1], [0.1, 1], [-0.1, 1]], dtype=np.float32)
        >>> choose_rows(np.ones(4, dtype=np.float32), features, 2).tolist()
        [1, 0]

    """
    from sklearn.cluster import KMeans

    weights = MIN_WEIGHT + (1 - MIN_WEIGHT) * doubt / max(float(doubt.max(initial=0.0)), 1e-9)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    scaled = features / np.maximum(lengths, 1e-9)
    distinct = len(np.unique(scaled, axis=0))
    means = KMeans(n_clusters=min(n, distinct), n_init=1, random_state=0).fit(scaled, sample_weight=weights)
    distances = ((scaled - means.cluster_centers_[means.labels_]) ** 2).sum(axis=1)
    masses = np.bincount(means.labels_, weights=weights)
    chosen = []
    for cluster in np.argsort(-masses, kind="stable"):
        members = np.flatnonzero(means.labels_ == cluster)
        if len(members):
            chosen.append(members[distances[members].argmin()])
    return np.array(chosen, dtype=np.int64)


def review_table(run: StoredRun, labeler: ModelLabeler, split: Split, n: int) -> Mapping[str, Sequence[Any]]:
    """Return the table of the rows that a person should label.

    Args:
        run: The run.
        labeler: Its distilled model, which has the kind and the features of the rows.
        split: The split that the rows are from.
        n: Rows to choose.

    Returns:
        The columns by name: the row's number in the input from 0, its text, an empty column for the label, the
        probability of each class, and the vote of each program ("" where it abstains). Formulas are escaped.

    """
    found = read_rows(run, labeler.kind, split)
    step = -(-len(found.rows) // MAX_ROWS)
    # Rows of equal text once: a label for one of them says nothing new about the others.
    first_of: dict[str, int] = {}
    for row in range(0, len(found.rows), step):
        first_of.setdefault(labeler.kind.repeat_key(found.rows[row]), row)
    part = np.array([*first_of.values()])
    features = labeler.features([found.rows[row] for row in first_of.values()])
    chosen = part[choose_rows(vote_entropy(found.matrix.select(part)), features, n)]
    names = ("", *run.classes)
    columns: dict[str, Sequence[Any]] = {
        ROW: found.numbers[chosen].tolist(),
        TEXT: [shown_text(labeler.kind.show(found.rows[row])) for row in chosen],
        LABEL: [""] * len(chosen),
    }
    for c, name in enumerate(run.classes):
        shares = found.posterior[chosen, c]
        columns[single_line(f"p({name})")] = ["" if np.isnan(share) else f"{share:.3f}" for share in shares]
    for program, votes in zip(found.programs, found.matrix.votes[chosen].T, strict=True):
        columns[single_line(program)] = [without_formula(single_line(names[vote + 1])) for vote in votes]
    return columns
