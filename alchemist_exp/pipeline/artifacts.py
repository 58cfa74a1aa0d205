"""What a run leaves beside its record: the accepted programs, every row's labels, the distilled model."""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alchemist_exp.core.atomic_io import write_bytes, write_directory
from alchemist_exp.core.types import ABSTAIN, FloatArray, SoftLabels, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.end_model.base import FittedEndModel
from alchemist_exp.methods.base import LabelingResult
from alchemist_exp.programs.header import with_header

PROGRAMS, LABELS, MODEL = "programs", "labels.parquet", "model"


def save_programs(folder: Path, labeling: LabelingResult) -> None:
    """The programs that vote as files that people can read, correct and run again by method=program_files.

    Those that were accepted and not chosen, and those that were rejected, lie in folders of their own.
    """
    voters = labeling.voters
    lost = [rejected for rejected in voters.rejected if rejected.program is not None]
    kinds = {folder: voters.programs, folder / "spare": voters.spare}
    for place, programs in kinds.items():
        for number, program in enumerate(programs):
            _write_program(place / _numbered(number, len(programs)), with_header(program))
    for number, rejected in enumerate(lost):
        if rejected.program is not None:
            _write_program(folder / "rejected" / _numbered(number, len(lost)), with_header(rejected.program, rejected))


def _numbered(number: int, of: int) -> str:
    return f"{number:0{max(2, len(str(of - 1)))}d}.py"


def _write_program(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "replace"))


def save_labels(path: Path, data: TextData, labeling: LabelingResult, probs: Mapping[Split, FloatArray]) -> None:
    """Every row of every split. probs: float32 (seeds, n, k) of the end model for each split."""
    import pyarrow as pa
    from pyarrow import parquet

    words, shares = pa.large_string(), pa.float32()
    schema = pa.schema(
        {"split": pa.string(), "row": pa.int64(), "text": words, "gold": words}
        | {"weak_label": words}
        | {_probability(name): shares for name in data.task.classes}
        | {"predicted": words, "confidence": shares}
    )
    tables = [
        pa.table(_columns(data, split, labeling.labels.get(split), probs[split].mean(axis=0)), schema=schema)
        for split in data.splits
    ]
    raw = io.BytesIO()
    parquet.write_table(pa.concat_tables(tables), raw, compression="zstd")
    write_bytes(path, raw.getvalue())


def _probability(name: str) -> str:
    return f"p({name})"


def _columns(data: TextData, split: Split, labels: SoftLabels | None, probs: FloatArray) -> dict[str, Any]:
    """The rows of one split; `labels` is None where nobody voted. probs: float32 (n, k), the mean over seeds.

    What is not known, the weak label and its probabilities of an uncovered row too, is null.
    """
    classes, gold = data.task.classes, data.gold(split)
    if labels is None:
        labels = SoftLabels(probs=np.zeros_like(probs), covered=np.zeros(len(probs), dtype=bool))
    columns = {
        "split": [split.value] * len(probs),
        "row": np.arange(len(probs)),
        "text": data.texts(split),
        "gold": [None] * len(probs) if gold is None else [classes[c] for c in gold],
        "weak_label": [None if c == ABSTAIN else classes[c] for c in labels.hard()],
        "predicted": [classes[c] for c in probs.argmax(axis=1)],
        "confidence": probs.max(axis=1),
    }
    shares = np.where(labels.covered[:, np.newaxis], labels.probs, np.nan)
    return columns | {_probability(name): _nullable(shares[:, i]) for i, name in enumerate(classes)}


def _nullable(values: FloatArray) -> Any:
    import pyarrow as pa

    return pa.array(values, from_pandas=True)


def save_model(folder: Path, extractor: Path, model: FittedEndModel) -> None:
    """The distilled model with the fitted feature extractor it needs, from its cache entry `extractor`."""

    def fill(draft: Path) -> None:
        for file in extractor.iterdir():
            if file.stem not in tuple(Split):
                shutil.copyfile(file, draft / file.name)
        model.save(draft)

    write_directory(folder, fill)
