"""Reads tables part by part, so that memory does not grow with the number of rows.

CSV, TSV, JSONL and Parquet files are read in parts. Excel files and lists in JSON are read whole: they are small.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.readers import explain_read_errors, extension, read_table, stored_class_names
from alchemist_exp.data.table import Columns
from alchemist_exp.data.table_base import MemoryTable, TableStream
from alchemist_exp.data.text_tables import begins_with_list, encoding_of, open_csv, open_jsonl

if TYPE_CHECKING:
    import pyarrow as pa


def open_table(
    path: Path, *, wanted: Sequence[str] = (), encoding: str | None = None, row_groups: tuple[int, int] | None = None
) -> TableStream:
    """Open a table.

    Args:
        path: A file of any format of `read_table`.
        wanted: Columns that are expected; they help to find the delimiter of a CSV file.
        encoding: The encoding of a text file; None for UTF-8, or what its byte order mark says.
        row_groups: The first of the row groups of a Parquet file that are read, and the one after the last; None for
            all.

    Returns:
        The table; its rows are read when they are asked for.

    Raises:
        DataError: The file cannot be read.

    """
    name = extension(path).removesuffix(".gz")
    with explain_read_errors(path):
        if extension(path) == ".parquet":
            return _open_parquet(path, row_groups)
        if name in (".csv", ".tsv"):
            return open_csv(path, wanted, encoding_of(path, encoding), "\t" if name == ".tsv" else ",")
        if name in (".jsonl", ".ndjson") or (name == ".json" and not begins_with_list(path, encoding)):
            return open_jsonl(path, encoding_of(path, encoding))
    # The other formats, Excel and a JSON list, are read as a whole.
    table = read_table(path, wanted=wanted, encoding=encoding)
    return MemoryTable(
        path=path,
        columns=tuple(table.columns),
        n_rows=table.n_rows,
        untyped=name == ".xlsx",
        class_names=table.class_names,
        values=table.columns,
    )


@dataclass(kw_only=True)
class _ParquetTable(TableStream):
    """A Parquet file; row groups are read one by one.

    Attributes:
        row_groups: The row groups that are read.
        selected: The columns that are read; None for all.

    """

    row_groups: Sequence[int]
    selected: list[str] | None = None

    def select(self, names: Sequence[str]) -> TableStream:
        """Return a table that reads some columns; see `TableStream.select`."""
        return replace(self, columns=tuple(names), selected=list(names))

    def _parts(self, n_rows: int) -> Iterator[Columns]:
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(n_rows, self.row_groups, self.selected):
                    yield batch.to_pydict()
        except (KeyError, pyarrow.ArrowException) as error:
            raise ValueError(error) from error

    def arrow_types(self) -> "dict[str, pa.DataType]":
        """Return the types in the file; see `TableStream.arrow_types`."""
        from pyarrow import parquet

        schema = parquet.read_schema(self.path)
        return dict(zip(schema.names, schema.types, strict=True))


def _open_parquet(path: Path, row_groups: tuple[int, int] | None) -> TableStream:
    schema, sizes = _parquet_footer(path)
    if len(set(schema.names)) < len(schema.names):
        raise ValueError(f"two columns have the same name in {schema.names}")
    if not schema.names:
        raise DataError(f"{path} is empty; it needs rows with named columns.")
    first, stop = row_groups or (0, len(sizes))
    return _ParquetTable(
        path=path,
        columns=tuple(schema.names),
        n_rows=sum(sizes[first:stop]),
        first_row=1 + sum(sizes[:first]),
        class_names=stored_class_names(schema.metadata or {}),
        row_groups=range(first, stop),
    )


def row_group_sizes(path: Path) -> list[int]:
    """Return the number of rows of each row group of a Parquet file.

    Args:
        path: The file.

    Raises:
        DataError: The file cannot be read.

    """
    with explain_read_errors(path):
        return _parquet_footer(path)[1]


def _parquet_footer(path: Path) -> "tuple[pa.Schema, list[int]]":
    """Return the schema of a Parquet file, and the number of rows of each row group."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            metadata = file.metadata
            return file.schema_arrow, [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    except (KeyError, pyarrow.ArrowException) as error:
        raise ValueError(error) from error
