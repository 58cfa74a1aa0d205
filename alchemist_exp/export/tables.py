"""Writes the labels of a run as Parquet files that `datasets.load_dataset` reads with their classes, and as JSONL."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import BoolArray, Split
from alchemist_exp.data.writers import jsonl_bytes
from alchemist_exp.labeling.decoded_size import check_decoded_size
from alchemist_exp.labeling.run_files import StoredRun, broken
from alchemist_exp.pipeline.artifacts import INPUT_PREFIX, LABELS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

DATA, JSONL = "data", "jsonl"
"""The directories of the Parquet files and of the JSONL files."""

SPLIT_NAMES: Final = {Split.TRAIN: "train", Split.VALID: "validation", Split.TEST: "test"}
"""The names of the splits on the Hugging Face Hub, by our own."""

LABEL, LABEL_SOURCE, LABEL_CONFIDENCE = "label", "label_source", "label_confidence"

GOLD, PROGRAMS, MODEL = "gold", "programs", "model"
"""Values of `label_source`."""

_BATCH_ROWS: Final = 16_384

_TOLERANCE: Final = 1e-3
"""By how much a sum of float32 probabilities may differ from 1."""


@dataclass(kw_only=True)
class WrittenSplit:
    """One split as it was written.

    Attributes:
        name: Its name, which is the stem of its files.
        columns: The type of each column in JSON Schema's words (string, integer, number, boolean), or "class".
        rows: The number of rows.
        sources: Rows by `label_source`; rows without a label are not counted.
        labels: Rows by class of their label.

    """

    name: str
    columns: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


def write_tables(run: StoredRun, directory: Path, weak_source: str) -> list[WrittenSplit]:
    """Write the labels of a run, one Parquet file and one JSONL file for each split.

    The columns are those of labels.parquet, and before them the label: gold where it is known, else `weak_label`, else
    the prediction of the distilled model, as `alchemist label` chooses. `label_source` says which.

    Args:
        run: The run.
        directory: Gets the directories `DATA` and `JSONL`.
        weak_source: The value of `label_source` for rows with a weak label.

    Returns:
        The splits, in the order of the run.

    Raises:
        StoreError: The labels are missing or broken.

    """
    import pyarrow as pa
    from pyarrow import parquet

    path = run.directory / LABELS
    if path.is_symlink() or not path.is_file():
        raise broken(path, "it is not a file")
    splits: dict[str, WrittenSplit] = {}
    try:
        with ExitStack() as opened, parquet.ParquetFile(path) as file:
            writers: dict[str, _SplitWriter] = {}
            # A large run is written in parts, and no part may take too much memory.
            check_decoded_size(path, one_by_one=True)
            class_columns = [LABEL, "gold", "weak_label", "predicted", *_vote_columns(file.schema_arrow)]
            for batch in file.iter_batches(_BATCH_ROWS):
                for split, table in _by_split(pa.Table.from_batches([batch])):
                    name = SPLIT_NAMES[Split(split)]
                    written = splits.setdefault(name, WrittenSplit(name=name))
                    if name not in writers:
                        writers[name] = opened.enter_context(
                            _split_writer(directory, written, run.classes, class_columns)
                        )
                    writers[name].write(_labeled(table, run.classes, weak_source))
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise broken(path, f"{type(error).__name__}: {error}") from error
    for written in splits.values():
        written.labels = Counter({name: n for name in run.classes if (n := written.labels[name])})
        written.sources = Counter({name: n for name in (GOLD, weak_source, MODEL) if (n := written.sources[name])})
    return list(splits.values())


def _by_split(table: "pa.Table") -> Iterator[tuple[str, "pa.Table"]]:
    """Yield the rows of each split without the column that names it."""
    import pyarrow.compute as pc

    for name in pc.unique(table["split"]).to_pylist():
        yield name, table.filter(pc.equal(table["split"], name)).drop_columns(["split"])


def _labeled(table: "pa.Table", classes: Sequence[str], weak_source: str) -> "pa.Table":
    """Return the columns of labels.parquet with our three columns before those of the run."""
    import pyarrow as pa
    import pyarrow.compute as pc

    n_rows = len(table)
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        shown = name
        while shown in (LABEL, LABEL_SOURCE, LABEL_CONFIDENCE) or shown in columns:
            shown = INPUT_PREFIX + shown
        columns[shown] = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    absent, text, number = pa.nulls(n_rows, pa.large_string()), pa.large_string(), pa.float32()
    gold, weak = columns["gold"].cast(text), columns["weak_label"].cast(text)
    predicted = columns["predicted"].cast(text) if "predicted" in columns else absent
    shares = [columns[f"p({name})"] for name in classes]
    confidence = columns["confidence"] if "confidence" in columns else pa.nulls(n_rows, number)
    has_gold, has_weak, has_model = (pc.is_valid(column) for column in (gold, weak, predicted))
    _check_probabilities(table["row"], np.column_stack(shares), np.asarray(has_weak), "p(CLASS)")
    _check_probabilities(table["row"], np.asarray(confidence), np.asarray(has_model), "confidence")
    chosen = pc.coalesce(gold, weak, predicted)
    source = pc.case_when(pc.make_struct(has_gold, has_weak, has_model), GOLD, weak_source, MODEL)
    sure = pc.if_else(has_gold, pa.scalar(None, number), pc.if_else(has_weak, pc.max_element_wise(*shares), confidence))
    ours = {LABEL: chosen, LABEL_SOURCE: source.cast(text), LABEL_CONFIDENCE: sure.cast(number)}
    first_of_run = list(columns).index("gold")
    names = [*list(columns)[:first_of_run], *ours, *list(columns)[first_of_run:]]
    return pa.table({name: (ours | columns)[name] for name in names})


def _check_probabilities(
    numbers: "pa.ChunkedArray", values: npt.NDArray[np.floating[Any]], labeled: BoolArray, name: str
) -> None:
    """Check the probabilities of labels, which a Parquet file of another person may have.

    Args:
        numbers: The number of each row in its input, for the message.
        values: Float array of shape (n_rows, n_classes), whose rows sum to 1, or (n_rows,).
        labeled: Boolean array of shape (n_rows,): the rows that have a label.
        name: The columns, for the message.

    Raises:
        ValueError: A row with a label has a value that is missing or not from 0 to 1, or a sum that is not 1.

    """
    with np.errstate(invalid="ignore"):  # NaN is not from 0 to 1
        valid = (values >= -_TOLERANCE) & (values <= 1 + _TOLERANCE)
        if values.ndim > 1:
            valid = valid.all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= _TOLERANCE)
    wrong = np.flatnonzero(labeled & ~valid)
    if len(wrong):
        raise ValueError(f"{name} of row {numbers[int(wrong[0])]} is {values[wrong[0]]}; expected probabilities")


@contextmanager
def _split_writer(
    directory: Path, written: WrittenSplit, classes: Sequence[str], class_columns: Sequence[str]
) -> Iterator["_SplitWriter"]:
    paths = [directory / DATA / f"{written.name}.parquet", directory / JSONL / f"{written.name}.jsonl"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
    with paths[1].open("wb") as lines:
        writer = _SplitWriter(paths[0], lines, written, classes, class_columns)
        try:
            yield writer
        finally:
            writer.close()


class _SplitWriter:
    """Writes the two files of one split part by part.

    Args:
        path: The Parquet file.
        lines: The JSONL file.
        written: Is filled.
        classes: The class names.
        class_columns: The columns of class names.

    """

    def __init__(
        self, path: Path, lines: BinaryIO, written: WrittenSplit, classes: Sequence[str], class_columns: Sequence[str]
    ) -> None:
        """Take the open file of lines; the Parquet file is opened with the first part."""
        self._path = path
        self._lines = lines
        self._written = written
        self._classes = [name.encode("utf-8", "replace").decode() for name in classes]
        self._class_columns = class_columns
        self._writer: parquet.ParquetWriter | None = None

    def write(self, table: "pa.Table") -> None:
        """Append rows to both files, and count their labels by class and by source."""
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import parquet

        if self._writer is None:
            self._written.columns = {
                name: "class" if name in self._class_columns else _json_type(table.schema.field(name).type)
                for name in table.column_names
            }
            schema = _schema(table.schema, self._class_columns, self._classes)
            self._writer = parquet.ParquetWriter(self._path, schema, compression="zstd")
        self._written.rows += len(table)
        for counts, name in ((self._written.sources, LABEL_SOURCE), (self._written.labels, LABEL)):
            for entry in pc.value_counts(table[name].drop_null()).to_pylist():
                counts[entry["values"]] += entry["counts"]
        self._lines.write(jsonl_bytes({name: table[name].to_pylist() for name in table.column_names}))
        names = pa.array(self._classes, pa.large_string())
        for place, name in enumerate(table.column_names):
            if name in self._class_columns:
                indices = pc.index_in(table[name].cast(pa.large_string()), names).cast(pa.int64())
                if indices.null_count > table[name].null_count:
                    raise ValueError(f"the column {name} has a value that is not a class")
                table = table.set_column(place, name, indices)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        """Finish the Parquet file, which cannot be read before."""
        if self._writer is not None:
            self._writer.close()


def _vote_columns(schema: "pa.Schema") -> list[str]:
    """Return the columns of votes in labels.parquet: they follow the labels, and columns of the input follow them."""
    import pyarrow as pa

    def is_vote(one: "pa.Field") -> bool:
        """Return whether a column has the votes of a program, by its name and type."""
        return bool(one.name.startswith("vote ") and pa.types.is_dictionary(one.type))

    after_gold = itertools.islice(schema, schema.get_field_index("gold"), None)
    from_votes = itertools.dropwhile(lambda one: not is_vote(one), after_gold)
    return [one.name for one in itertools.takewhile(is_vote, from_votes)]


def _schema(schema: "pa.Schema", class_columns: Sequence[str], classes: Sequence[str]) -> "pa.Schema":
    """Return the schema with class columns as integers, and the metadata by which `datasets` knows their names."""
    import pyarrow as pa

    features: dict[str, Mapping[str, Any]] = {}
    fields = []
    for one in schema:
        if one.name in class_columns:
            fields.append(pa.field(one.name, pa.int64()))
            features[one.name] = {"names": list(classes), "_type": "ClassLabel"}
        else:
            fields.append(one)
    from datasets import Features

    features = {**Features.from_arrow_schema(pa.schema(fields)).to_dict(), **features}
    info = json.dumps({"info": {"features": features}}).encode()
    return pa.schema(fields).with_metadata({b"huggingface": info})


def _json_type(kind: "pa.DataType") -> str:
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    return "number" if pa.types.is_floating(kind) else "string"
