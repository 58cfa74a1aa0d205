"""The user's own files, and the sets embedded in the package, as a checked `TextData`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import HUMAN_VOTES, LABEL, TEXT, Dataset, HubFiles, TextData, checked_votes, class_ids
from alchemist_exp.data.readers import Columns, read_splits

EMBEDDED = Path(__file__).parent / "embedded"
"""Package data: one folder per embedded dataset."""


@component("dataset", "files")
@dataclass(kw_only=True)
class FilesDataset(Dataset):
    """CSV, TSV, JSONL or Parquet files: a training split that may be unlabeled, valid and test where there are any.

    path: a file (the training split) or a folder with train.*, valid.*, test.*. text_column, label_column: where the
    rows' texts and gold lie. human_votes_column: a list of votes per row, -1 = abstain, None when there are none.
    hub: where scripts/prepare_data.py can fetch the raw files; runs read `path` alone.
    """

    path: str = MISSING
    text_column: str = MISSING
    label_column: str = MISSING
    human_votes_column: str | None = MISSING
    hub: HubFiles | None = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path.strip():
            raise ConfigError("dataset.path is empty; name a file or a folder, as in dataset.path=texts.csv.")

    @property
    def root(self) -> Path:
        """The file or folder that is read."""
        return resolve_user_path(self.path, "dataset.path")

    def load(self) -> TextData:
        """Reads and checks all splits. DataError when they contradict the description."""
        import datasets

        found = read_splits(self.root, self.name)
        self._require_label_column([columns for _, columns in found.values()])
        splits = {split: self._columns(file, columns) for split, (file, columns) in found.items()}
        _require_equal_width(splits)
        table = datasets.DatasetDict(
            {str(s): datasets.Dataset.from_dict(c, features=self._features(c)) for s, c in splits.items()}
        )
        return TextData(task=self.describe_task(), table=table)

    def _require_label_column(self, splits: list[Columns]) -> None:
        """Without labels the usual column is just absent; one that was asked for by name must be there."""
        if self.label_column != LABEL and not any(self.label_column in columns for columns in splits):
            known = sorted({name for columns in splits for name in columns})
            raise DataError(
                f"dataset.label_column is {self.label_column!r}, and no split has it; they have "
                f"{', '.join(map(repr, known))}."
            )

    def _features(self, columns: Columns) -> Any:
        from datasets import ClassLabel, Features, List, Value

        kinds = {TEXT: Value("string"), LABEL: ClassLabel(names=self.classes), HUMAN_VOTES: List(Value("int8"))}
        return Features({name: kinds[name] for name in columns})

    def _columns(self, file: Path, source: Columns) -> dict[str, list[Any]]:
        """The columns of one split, checked and named as every loaded split names them."""
        if self.text_column not in source:
            raise DataError(
                f"{file} has no column {self.text_column!r}; it has {', '.join(map(repr, source)) or 'none'}. "
                "Name the one with the texts by dataset.text_column=NAME."
            )
        rows = {name: values[: self.limit] for name, values in source.items()}
        texts = [_as_text(value, row, file) for row, value in enumerate(rows[self.text_column], start=1)]
        if not texts:
            raise DataError(f"{file} has no rows.")
        columns: dict[str, list[Any]] = {TEXT: texts}
        labels = class_ids(rows[self.label_column], self.classes, str(file)) if self.label_column in rows else None
        if labels is not None:
            columns[LABEL] = labels
        if self.human_votes_column in rows:
            columns[HUMAN_VOTES] = checked_votes(rows[self.human_votes_column], len(self.classes), str(file))
        return columns


def _require_equal_width(splits: Mapping[Split, Mapping[str, list[Any]]]) -> None:
    """The same labeling functions must have voted on every split."""
    widths = {split: len(columns[HUMAN_VOTES][0]) for split, columns in splits.items() if HUMAN_VOTES in columns}
    for split, width in widths.items():
        if width != widths.get(Split.TRAIN, width):
            raise DataError(f"there are {width} human votes a row on {split} and {widths[Split.TRAIN]} on train.")


def _as_text(value: Any, row: int, file: Path) -> str:
    """A missing text is ""; a number or a list in the text column is a mistake worth a word."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if not isinstance(value, str):
        raise DataError(f"{file}: row {row} has {type(value).__name__} {str(value)[:40]!r} where a text is needed.")
    # Lone surrogates cannot be stored as UTF-8 by Arrow; they carry no text.
    return value.encode("utf-8", "replace").decode("utf-8")


@component("dataset", "embedded")
@dataclass(kw_only=True)
class EmbeddedDataset(FilesDataset):
    """A dataset that ships inside the package: `path` is its folder's name there, or an absolute path elsewhere."""

    @property
    def root(self) -> Path:
        """The folder inside the package, or the absolute path."""
        return EMBEDDED / self.path

    def load(self) -> TextData:
        """Reads the embedded splits; all three are always there."""
        data = super().load()
        if data.splits != tuple(Split):
            raise DataError(f"{self.root} lacks a split of {self.name}; get it again, or take the package's own.")
        return data
