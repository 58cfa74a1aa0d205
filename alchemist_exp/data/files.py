"""Datasets in the user's own files, and the datasets that are embedded in the package."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import HubFiles
from alchemist_exp.data.split_files import read_splits, require_encoding, require_path
from alchemist_exp.data.split_tables import SplitTables
from alchemist_exp.data.tables import TableDataset
from alchemist_exp.data.text_data import TextData

EMBEDDED = Path(__file__).parent / "embedded"
"""Package data: one directory per embedded dataset."""


@component("dataset", "files")
@dataclass(kw_only=True)
class FilesDataset(TableDataset):
    """CSV, TSV, JSONL, JSON, Excel or Parquet files: a training split that may be unlabeled; optionally valid and test.

    Attributes:
        path: A file (the training split) or a directory with train.*, valid.* and test.*.
        encoding: The encoding of text files; None for UTF-8, or what their byte order mark says.
        hub: Where scripts/prepare_data.py can download the raw files; a run reads `path` only.

    """

    path: str = MISSING
    encoding: str | None = MISSING
    hub: HubFiles | None = MISSING

    def __post_init__(self) -> None:
        """Check the values, `path` included.

        Raises:
            ConfigError: A value is not possible, or `path` is empty.

        """
        super().__post_init__()
        if not self.path.strip():
            raise ConfigError("dataset.path is empty; set a file or a directory, as in dataset.path=texts.csv.")
        if self.encoding is not None:
            require_encoding(self.encoding)

    def cache_key(self) -> dict[str, object]:
        """Return every value that alters more than the rows, which count by their fingerprint."""
        return {name: value for name, value in super().cache_key().items() if name != "encoding"}

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

    def read(self) -> SplitTables:
        """Read the files of all splits.

        Returns:
            The splits that have a file.

        Raises:
            DataError: A file cannot be read.

        """
        wanted = [column for column in (*self.row_columns, self.label_column) if column is not None]
        return read_splits(self.root, self.name, wanted=wanted, encoding=self.encoding)


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
