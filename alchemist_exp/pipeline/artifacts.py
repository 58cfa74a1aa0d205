"""What a run writes next to its record: the programs, every row's labels, the distilled model."""

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alchemist_exp.concepts.source import ScoredConcepts
from alchemist_exp.core.artifact_cache import CHECKSUMS
from alchemist_exp.core.atomic_io import write_bytes, write_directory, write_json
from alchemist_exp.core.label_sets import SetLabels, SetMatrix, names_of, predicted_sets
from alchemist_exp.core.types import ABSTAIN, FloatArray, IntArray, SoftLabels, Split
from alchemist_exp.data.kinds import load_kind, save_kind
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.data.text_data import TextData
from alchemist_exp.end_model.base import FittedEndModel
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.columns import ColumnFeatures
from alchemist_exp.methods.types import LabelingResult, LabelSources
from alchemist_exp.programs.files import file_names, vote_columns, with_header
from alchemist_exp.programs.types import Program, Rejected

if TYPE_CHECKING:
    import pyarrow as pa

PROGRAMS, LABELS, MODEL = "programs", "labels.parquet", "model"
IMAGES, CONCEPTS = "images.png", "concepts.json"

_GROUP_ROWS = 131_072
"""Rows of a row group of a Parquet file: one group is encoded in memory at once."""

INPUT_PREFIX = "input_"
"""Is put before the name of a column of the input that has the name of one of ours."""


def save_programs(directory: Path, sources: LabelSources) -> None:
    """Write programs as files that people can read, correct and run again with method=program_files.

    Args:
        directory: Gets the programs that vote, each in a file named after its origin; those that the selection left
            out are in its directory `unselected`, rejected ones in `rejected`.
        sources: The programs and their fate.

    """
    rejected = [one for one in sources.rejected if one.program is not None]
    groups: dict[Path, Sequence[Program | Rejected]] = {
        directory: sources.programs,
        directory / "unselected": sources.unselected,
        directory / "rejected": rejected,
    }
    for place, programs in groups.items():
        for name, one in zip(file_names(one.origin for one in programs), programs, strict=True):
            text = (
                with_header(one) if isinstance(one, Program) else with_header(one.program, one) if one.program else ""
            )
            write_bytes(place / name, text.encode("utf-8", "replace"))


def save_concepts(path: Path, concepts: ScoredConcepts | None, classes: Sequence[str]) -> None:
    """Write the concepts of a run, for people to correct and to use again as `concepts.file`.

    Those that the filters dropped are among them: with the same concepts, the filters drop the same ones again.

    Args:
        path: The file; nothing is written without concepts.
        concepts: The concepts.
        classes: The class names.

    """
    if concepts is not None:
        write_json(path, concepts.named.concepts.by_class(classes))


def save_labels(path: Path, data: TextData, result: LabelingResult, probs: Mapping[Split, FloatArray]) -> None:
    """Write every row of every split with its labels and the vote of each program, as a Parquet file.

    Args:
        path: The file.
        data: The loaded dataset.
        result: The soft labels of the rows with text, and the votes.
        probs: float32 arrays of shape (n_rows_with_text, n_classes), the run's predictions by split; empty without an
            end model.

    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.concat_tables(_label_table(data, s, result, probs.get(s)) for s in data.splits)
    raw = io.BytesIO()
    parquet.write_table(table, raw, compression="zstd", row_group_size=_GROUP_ROWS)
    write_bytes(path, raw.getvalue())


def _label_table(data: TextData, split: Split, result: LabelingResult, probs: FloatArray | None) -> "pa.Table":
    """The rows of one split; what is not known is null, as are all labels of a row without text.

    probs: float32 array of shape (n_rows_with_text, n_classes); None without an end model.
    """
    import pyarrow as pa

    classes, gold, has_text = data.task.classes, data.gold(split), data.has_text(split)
    labels = result.train_labels if split is Split.TRAIN else result.labels.get(split)
    multi_label = data.task.multi_label
    if labels is None:
        n_rows = int(has_text.sum())
        labels = (SetLabels if multi_label else SoftLabels)(
            probs=np.zeros((n_rows, len(classes)), dtype=np.float32), covered=np.zeros(n_rows, dtype=bool)
        )
    shares = np.where(labels.covered[:, np.newaxis], labels.probs, np.nan)
    share = pa.float32()
    # Of the rows with text. from_pandas: NaN becomes null
    labeled = {
        "weak_label": _names(labels.hard(), classes, multi_label=multi_label),
        **{f"p({name})": pa.array(shares[:, i], share, from_pandas=True) for i, name in enumerate(classes)},
    }
    if probs is not None and multi_label:
        labeled["predicted"] = _names(predicted_sets(probs), classes, multi_label=True)
        labeled |= {f"predicted p({name})": pa.array(probs[:, i], share) for i, name in enumerate(classes)}
    elif probs is not None:
        labeled["predicted"] = _names(probs.argmax(axis=1), classes)
        labeled["confidence"] = pa.array(probs.max(axis=1), share)
    labeled |= _votes(result.sources, split, len(labels.covered), classes)
    # The place of each row among the rows with text. A null makes a row of nulls.
    places = pa.array(np.cumsum(has_text) - 1, mask=~has_text)
    columns = {
        "split": pa.repeat(pa.scalar(split.value, pa.string()), len(has_text)),
        "row": pa.array(data.rows_of_input(split), pa.int64()),
    }
    unknown = pa.nulls(len(has_text), pa.list_(pa.large_string()) if multi_label else pa.large_string())
    golds = unknown if gold is None else _names(gold, classes, multi_label=multi_label)
    ours = {"gold": golds} | {name: column.take(places) for name, column in labeled.items()}
    for name, column in data.kind.arrow_columns(data.texts(split)).items():
        columns[_free_name(name, (*columns, *ours))] = column
    table = pa.table(columns | ours)
    if split in data.other_columns:
        for name, column in zip(data.other_columns[split].column_names, data.other_columns[split].columns, strict=True):
            table = table.append_column(_free_name(name, table.column_names), column)
    return table


def _votes(sources: LabelSources, split: Split, n_rows: int, classes: Sequence[str]) -> dict[str, "pa.Array"]:
    """Return the class, or list of classes, that each program votes for on each row with text; null if it abstains."""
    import pyarrow as pa

    names = vote_columns(sources.names if sources.matrices else ())
    values = pa.array(classes, pa.large_string())
    if isinstance(matrix := sources.matrices.get(split), SetMatrix):
        return {name: _names(matrix.votes[:, i], classes, multi_label=True) for i, name in enumerate(names)}
    if split not in sources.matrices:  # the votes of people may be on train only
        kind = pa.dictionary(pa.int8(), pa.large_string())
        return {name: pa.nulls(n_rows, kind) for name in names}
    votes = sources.matrices[split].votes
    return {
        name: pa.DictionaryArray.from_arrays(pa.array(votes[:, i], mask=votes[:, i] == ABSTAIN), values)
        for i, name in enumerate(names)
    }


def _names(indices: IntArray, classes: Sequence[str], *, multi_label: bool = False) -> "pa.Array":
    """Return the name of each class as large_string, of masks as lists of them; null for `ABSTAIN`."""
    import pyarrow as pa

    if multi_label:
        named = {mask: None if mask == ABSTAIN else names_of(mask, classes) for mask in np.unique(indices).tolist()}
        return pa.array([named[mask] for mask in indices.tolist()], pa.list_(pa.large_string()))
    return pa.array(classes, pa.large_string()).take(pa.array(indices, mask=indices == ABSTAIN))


def _free_name(name: str, taken: Sequence[str]) -> str:
    """Return the name of a column of the input, with a prefix if another column has it."""
    while name in taken:
        name = INPUT_PREFIX + name
    return name


def save_model(directory: Path, extractor_entry: Path, model: FittedEndModel, kind: RowKind) -> None:
    """Write the distilled model and the fitted feature extractor that it needs.

    The files of the extractor (17 MB by default) are hard links to those of the cache where the file system has them:
    the runs of a sweep share one copy, and a run stays complete when the cache is deleted or its directory is copied.

    Args:
        directory: The directory, replaced as a whole.
        extractor_entry: The cache entry of the features, which also holds the fitted extractor.
        model: The distilled model.
        kind: The kind of the rows that it labels.

    """

    def fill(draft: Path) -> None:
        """Write the model, the kind of the rows and the extractor into `draft`."""
        # The model first: a file that it wrote to the name of a link would change the cache.
        model.save(draft)
        save_kind(draft, kind)
        link_state(extractor_entry, draft)

    write_directory(directory, fill)


def link_state(entry: Path, target: Path) -> None:
    """Link the state of a fitted extractor out of its cache entry, without the features of the splits.

    Args:
        entry: The cache entry.
        target: An existing directory; a file that is already in it stays.

    """
    for file in sorted(entry.rglob("*")):
        place, of_split = target / file.relative_to(entry), file.parent == entry and file.stem in tuple(Split)
        if file.is_dir():
            place.mkdir(exist_ok=True)
        elif file.name != CHECKSUMS and not of_split and not place.exists():
            try:
                place.hardlink_to(file)
            except OSError:  # the file system has no hard links, or the cache is on another one
                shutil.copyfile(file, place)


def load_extractor(
    directory: Path, extractor: FeatureExtractor
) -> tuple[RowKind, Callable[[Sequence[str]], FloatArray]]:
    """Read the extractor of a run's distilled model.

    Args:
        directory: The model's directory.
        extractor: The extractor of the run's configuration; it is restored.

    Returns:
        The kind of the rows, whose `parse` reads them, and a function that returns the features of rows: float32 array
        of shape (n_rows, n_features).

    Raises:
        StoreError: A file is missing or broken.

    """
    kind, columns = load_kind(directory), ColumnFeatures.load(directory)
    extractor.load(directory)
    return kind, lambda rows: columns.append_to(extractor.transform(kind.extractor_input(rows)), kind.values(rows))
