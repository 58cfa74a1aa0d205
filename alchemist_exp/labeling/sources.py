"""What the rows of a task are read from: a file, some row groups of a Parquet file, or a data file of the Hub."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alchemist_exp.data.hub_stream import HubFile
from alchemist_exp.data.table_base import TableStream
from alchemist_exp.data.table_stream import open_table


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """A file, or some row groups of it.

    Attributes:
        path: The file, as an absolute path.
        row_groups: The first row group of a Parquet file, and the one after the last; None for all of them.

    """

    path: Path
    row_groups: tuple[int, int] | None = None

    def __str__(self) -> str:
        """Return the path of the file."""
        return str(self.path)

    @property
    def name(self) -> str:
        """The name by which outputs of an earlier state of the source are found."""
        return self.path.name

    def identity(self) -> dict[str, Any]:
        """Return what tells this state of the file from an earlier or a later one, as JSON.

        Raises:
            OSError: The file cannot be read.

        """
        status = self.path.stat()
        identity: dict[str, Any] = {"name": self.name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
        return identity if self.row_groups is None else identity | {"row_groups": list(self.row_groups)}

    def open(self, wanted: tuple[str, ...], encoding: str | None) -> TableStream:
        """Open the table.

        Args:
            wanted: See `open_table`.
            encoding: See `open_table`.

        Raises:
            DataError: It cannot be read.

        """
        return open_table(self.path, wanted=wanted, encoding=encoding, row_groups=self.row_groups)


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A data file of a dataset of the Hub.

    Attributes:
        file: The data file.

    """

    file: HubFile

    def __str__(self) -> str:
        """Return the dataset, the split and the number of the file."""
        return str(self.file)

    @property
    def name(self) -> str:
        """The name by which outputs of an earlier commit are found."""
        return f"{self.file.repo} {self.file.config} {self.file.split}"

    def identity(self) -> dict[str, Any]:
        """Return the commit and the place of the file, as JSON."""
        return {"name": self.name, **asdict(self.file)}

    def open(self, wanted: tuple[str, ...], encoding: str | None) -> TableStream:
        """Open the table; the arguments are for files.

        Raises:
            DataError: The Hub cannot be reached, or does not have the dataset.

        """
        return self.file.open()


Source = FileSource | HubSource
