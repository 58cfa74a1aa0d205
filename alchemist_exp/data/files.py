"""Datasets in the user's own files, and the datasets that are embedded in the package."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import HUMAN_VOTES, LABEL, TEXT, Dataset, HubFiles, TextData
from alchemist_exp.data.labels import check_votes, class_indices
from alchemist_exp.data.readers import Columns, read_splits, require_path

EMBEDDED = Path(__file__).parent / "embedded"
"""Package data: one directory per embedded dataset."""


@component("dataset", "files")
@dataclass(kw_only=True)
class FilesDataset(Dataset):
    """CSV, TSV, JSONL or Parquet files: a training split that may be unlabeled, and optionally valid and test.

    Attributes:
        path: A file (the training split) or a directory with train.*, valid.* and test.*.
        text_column: The column of the texts.
        label_column: The column of the gold labels.
        human_votes_column: The column with a list of votes per row, where -1 means abstain; None for none.
        hub: Where scripts/prepare_data.py can download the raw files; a run reads `path` only.

    """

    path: str = MISSING
    text_column: str = MISSING
    label_column: str = MISSING
    human_votes_column: str | None = MISSING
    hub: HubFiles | None = MISSING

    def __post_init__(self) -> None:
        """Check the values, `path` included.

        Raises:
            ConfigError: A value is not possible, or `path` is empty.

        """
        super().__post_init__()
        if not self.path.strip():
            raise ConfigError("dataset.path is empty; set a file or a directory, as in dataset.path=texts.csv.")

    @property
    def root(self) -> Path:
        """The file or directory that is read."""
        return resolve_user_path(self.path, "dataset.path")

    def check(self) -> None:
        """Check that the file or directory exists.

        Raises:
            DataError: It does not.

        """
        require_path(self.root, self.name)

    def load(self) -> TextData:
        """Read and check all splits.

        Returns:
            The splits that have a file.

        Raises:
            DataError: A file cannot be read, or does not fit the configuration.

        """
        import datasets

        source = read_splits(self.root, self.name)
        known = {name for _, columns in source.values() for name in columns}
        # Unlabeled data does not have the default column; a column that the user names must exist.
        if self.label_column != LABEL and self.label_column not in known:
            raise DataError(
                f"dataset.label_column={self.label_column!r} is in no split; the columns are "
                f"{', '.join(map(repr, sorted(known)))}."
            )
        splits = {split: self._check_columns(file, columns) for split, (file, columns) in source.items()}
        widths = {split: len(columns[HUMAN_VOTES][0]) for split, columns in splits.items() if HUMAN_VOTES in columns}
        for split, width in widths.items():
            if width != widths.get(Split.TRAIN, width):
                raise DataError(
                    f"there are {width} human votes per row on {split} and {widths[Split.TRAIN]} on train; every split "
                    "needs the votes of the same labeling functions."
                )
        types = {
            TEXT: datasets.Value("string"),
            LABEL: datasets.ClassLabel(names=self.classes),
            HUMAN_VOTES: datasets.List(datasets.Value("int8")),
        }
        table = datasets.DatasetDict()
        for split, columns in splits.items():
            features = datasets.Features({name: types[name] for name in columns})
            table[str(split)] = datasets.Dataset.from_dict(columns, features=features)
        return TextData(task=self.describe_task(), table=table)

    def _check_columns(self, file: Path, source: Columns) -> dict[str, list[Any]]:
        """Return the checked columns of one split, with the names that every loaded split has."""
        if self.text_column not in source:
            raise DataError(
                f"{file} has no column {self.text_column!r}; it has {', '.join(map(repr, source)) or 'none'}. "
                "Set the column of the texts by dataset.text_column=NAME."
            )
        rows = {name: values[: self.limit] for name, values in source.items()}
        texts = [_as_text(value, row, file) for row, value in enumerate(rows[self.text_column], start=1)]
        if not texts:
            raise DataError(f"{file} has no rows.")
        columns: dict[str, list[Any]] = {TEXT: texts}
        labels = class_indices(rows[self.label_column], self.classes, str(file)) if self.label_column in rows else None
        if labels is not None:
            columns[LABEL] = labels
        if self.human_votes_column in rows:
            columns[HUMAN_VOTES] = check_votes(rows[self.human_votes_column], len(self.classes), str(file))
        return columns


def _as_text(value: Any, row: int, file: Path) -> str:
    """Return a text, "" if it is missing; a number or a list in the text column raises DataError."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if not isinstance(value, str):
        raise DataError(f"{file}: row {row} has {type(value).__name__} {str(value)[:40]!r}; expected a text.")
    # Lone surrogates cannot be stored as UTF-8 by Arrow; they carry no text.
    return value.encode("utf-8", "replace").decode("utf-8")


@component("dataset", "embedded")
@dataclass(kw_only=True)
class EmbeddedDataset(FilesDataset):
    """A dataset inside the package: `path` is the name of its directory there, or an absolute path elsewhere."""

    @property
    def root(self) -> Path:
        """The directory inside the package, or the absolute path."""
        return EMBEDDED / self.path

    def check(self) -> None:
        """Check that the directory exists.

        Raises:
            DataError: It does not.

        """
        if not self.root.is_dir():
            raise DataError(
                f"dataset={self.name} is part of the package and dataset.path={self.path!r} is not its directory; "
                "leave out dataset.path, or read your own files with dataset=files dataset.path=..."
            )

    def load(self) -> TextData:
        """Read and check the three splits.

        Returns:
            All three splits.

        Raises:
            DataError: A split is missing, broken, or does not fit the configuration.

        """
        self.check()
        data = super().load()
        if data.splits != tuple(Split):
            raise DataError(
                f"{self.root} does not have all splits of {self.name}; make it again, or remove dataset.path."
            )
        return data
