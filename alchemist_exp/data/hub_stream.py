"""Streams a split of a dataset of the Hugging Face Hub: one table for each data file of the repository.

The library `datasets` reads the files; nothing is stored on the disk. A row that is skipped is downloaded if it is in
the same file as a later row.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.data.hub import REPOSITORY
from alchemist_exp.data.hub_errors import HubKeys, explain_hub_error
from alchemist_exp.data.table import Columns
from alchemist_exp.data.table_base import RowTable, TableStream

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX: Final = "hub:"
FORM: Final = "hub:REPO[@REVISION][:[CONFIG/]SPLIT]"

_KEYS = HubKeys(
    repo="REPO in hub:REPO",
    revision="REVISION in hub:REPO@REVISION",
    config="name it as hub:REPO:CONFIG/SPLIT;",
    files="name them instead of hub:REPO",
)
_READ_ROWS: Final = 1000
"""Rows that are converted to Python objects at once."""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One data file of a split.

    Attributes:
        repo: The repository of the dataset.
        commit: The commit that is read.
        config: The configuration; None for the only one.
        split: The split.
        number: The number of the file in the split, from 0.
        n_files: The number of files of the split.

    """

    repo: str
    commit: str
    config: str | None
    split: str
    number: int
    n_files: int

    def __str__(self) -> str:
        """Return the dataset, the split and the number of the file, for messages."""
        config = f"{self.config}/" if self.config else ""
        return f"{PREFIX}{self.repo}@{self.commit[:12]}:{config}{self.split}, file {self.number + 1} of {self.n_files}"

    def open(self) -> TableStream:
        """Return the table; its rows are read when they are asked for.

        Raises:
            DataError: The Hub cannot be reached, or does not have the dataset.

        """
        try:
            found = _load(self.repo, self.commit, self.config)[self.split]._resolve_features()
            rows = found.shard(num_shards=self.n_files, index=self.number)
            columns = tuple(rows.features)
        except Exception as error:  # the libraries raise the errors of several HTTP clients and file formats
            raise DataError(explain_hub_error(error, self.repo, self.commit, self.config, _KEYS)) from error
        names = {name: getattr(kind, "names", None) for name, kind in rows.features.items()}
        return _HubTable(
            path=Path(str(self)),
            columns=columns,
            class_names={name: tuple(map(str, found)) for name, found in names.items() if found},
            source=self,
            rows=rows,
        )


@dataclass(kw_only=True)
class _HubTable(RowTable):
    """A data file of a split.

    Attributes:
        source: The file.
        rows: A `datasets.IterableDataset`.

    """

    source: HubFile
    rows: Any

    def select(self, names: Sequence[str]) -> TableStream:
        """Return a table that reads some columns; see `TableStream.select`."""
        return replace(self, columns=tuple(names), rows=self.rows.select_columns(list(names)))

    def arrow_types(self) -> "dict[str, pa.DataType]":
        """Return the types that the dataset names; see `TableStream.arrow_types`."""
        schema = self.rows.features.arrow_schema
        return dict(zip(schema.names, schema.types, strict=True))

    def _rows(self, first: int) -> Iterator[dict[str, Any]]:
        # As Arrow tables: images and sounds are not decoded.
        tables = (self.rows.skip(first) if first else self.rows).with_format("arrow").iter(_READ_ROWS)
        try:
            for table in tables:
                yield from table.to_pylist()
        except Exception as error:
            source = self.source
            raise DataError(explain_hub_error(error, source.repo, source.commit, source.config, _KEYS)) from error

    def _as_columns(self, rows: Sequence[dict[str, Any]]) -> Columns:
        return {name: [row.get(name) for row in rows] for name in self.columns}


def find_hub_files(text: str) -> list[HubFile]:
    """Return the data files that an argument names.

    Args:
        text: See `FORM`; without a split all splits.

    Returns:
        The files of each split in their order; all of the commit that the branch is at.

    Raises:
        ConfigError: The argument is not in this form, or names a split that does not exist.
        DataError: The Hub cannot be reached, or does not have the dataset.

    """
    match = re.fullmatch(r"hub:([^:@]+)(?:@([^:]+))?(?::(?:([^:/]+)/)?([^:/]*))?", text)
    if match is None or not REPOSITORY.fullmatch(match[1]):
        raise ConfigError(
            f"invalid dataset {text!r}; expected {FORM}, as in hub:fancyzhx/ag_news:test or hub:nyu-mll/glue:mrpc/test."
        )
    repo, revision, config, split = match.groups()
    if Path(repo).exists():
        raise ConfigError(
            f"{repo!r} is a local file or directory, which would be read instead of the Hub; run the command in "
            "another directory."
        )
    # Imported first: an error below is an error of the Hub.
    import datasets
    from huggingface_hub import HfApi

    if datasets.config.HF_HUB_OFFLINE:
        raise DataError(f"{text} is read from the Hugging Face Hub, and HF_HUB_OFFLINE forbids it; unset the variable.")
    try:
        commit = str(HfApi().dataset_info(repo, revision=revision or "main").sha)
        found = _load(repo, commit, config)
    except Exception as error:
        raise DataError(explain_hub_error(error, repo, revision, config, _KEYS)) from error
    if split and split not in found:
        raise ConfigError(f"{repo} has no split {split!r}; it has {', '.join(map(str, found))}.")
    return [
        HubFile(repo=repo, commit=commit, config=config, split=str(name), number=number, n_files=rows.num_shards)
        for name, rows in found.items()
        if not split or name == split
        for number in range(rows.num_shards)
    ]


@lru_cache(maxsize=4)
def _load(repo: str, commit: str, config: str | None) -> Any:
    """Return the splits of a dataset, by name; a process asks for them once."""
    import datasets

    return datasets.load_dataset(repo, config, revision=commit, streaming=True)
