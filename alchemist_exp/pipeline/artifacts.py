"""What a run writes next to its record: the programs, every row's labels, the distilled model."""

import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alchemist_exp.core.atomic_io import write_bytes, write_directory
from alchemist_exp.core.types import ABSTAIN, FloatArray, SoftLabels, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.end_model.base import FittedEndModel
from alchemist_exp.methods.types import LabelingResult, LabelSources
from alchemist_exp.programs.files import file_names, with_header
from alchemist_exp.programs.types import Program, Rejected

PROGRAMS, LABELS, MODEL = "programs", "labels.parquet", "model"


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


def save_labels(path: Path, data: TextData, result: LabelingResult, probs: Mapping[Split, FloatArray]) -> None:
    """Write every row of every split with its labels, as a Parquet file.

    Args:
        path: The file.
        data: The dataset.
        result: The soft labels.
        probs: float32 arrays of shape (n_seeds, n_rows, n_classes), the end model's predictions on each split.

    """
    import pyarrow as pa
    from pyarrow import parquet

    text, share = pa.large_string(), pa.float32()
    schema = pa.schema(
        {"split": pa.string(), "row": pa.int64(), "text": text, "gold": text, "weak_label": text}
        | {f"p({name})": share for name in data.task.classes}
        | {"predicted": text, "confidence": share}
    )
    tables = [
        pa.table(_columns(data, split, result.labels.get(split), probs[split].mean(axis=0)), schema=schema)
        for split in data.splits
    ]
    raw = io.BytesIO()
    parquet.write_table(pa.concat_tables(tables), raw, compression="zstd")
    write_bytes(path, raw.getvalue())


def _columns(data: TextData, split: Split, labels: SoftLabels | None, probs: FloatArray) -> dict[str, Any]:
    """The columns of one split; what is not known is null, as are weak label and probabilities of an uncovered row.

    labels: None when the split has no votes. probs: float32 array of shape (n_rows, n_classes), the mean over seeds.
    """
    import pyarrow as pa

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
    # from_pandas: NaN becomes null
    return columns | {f"p({name})": pa.array(shares[:, i], from_pandas=True) for i, name in enumerate(classes)}


def save_model(directory: Path, extractor_entry: Path, model: FittedEndModel) -> None:
    """Write the distilled model and the fitted feature extractor that it needs.

    Args:
        directory: The directory, replaced as a whole.
        extractor_entry: The cache entry of the features, which also holds the fitted extractor.
        model: The distilled model.

    """

    def fill(draft: Path) -> None:
        for file in extractor_entry.iterdir():
            if file.stem not in tuple(Split):
                shutil.copyfile(file, draft / file.name)
        model.save(draft)

    write_directory(directory, fill)
