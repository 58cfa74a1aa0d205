"""Writes tables part by part, so that memory does not grow with the number of rows."""

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from alchemist_exp.core.atomic_io import open_replacement
from alchemist_exp.core.errors import DataError
from alchemist_exp.data.other_columns import as_texts
from alchemist_exp.data.writers import MAX_EXCEL_ROWS, ExcelSheet, csv_bytes, jsonl_bytes

if TYPE_CHECKING:
    import pyarrow as pa

WriteRows = Callable[[Mapping[str, Sequence[Any]]], None]
"""Writes further rows, given as columns by name."""


@contextmanager
def write_parts(
    path: Path,
    names: Sequence[str],
    *,
    types: "Callable[[], Mapping[str, pa.DataType]]",
    delimiter: str = ",",
    byte_order_mark: bool = False,
    metadata: Callable[[], Mapping[str, str]] = dict,
) -> Iterator[WriteRows]:
    """Write a table part by part; it replaces the file when the `with` block ends without an error.

    Args:
        path: The file; its name ends in one of `writers.WRITERS`.
        names: The columns, in their order.
        types: Returns the type of each column; called for a Parquet file only.
        delimiter: The character between the fields of a CSV file.
        byte_order_mark: Whether a CSV or TSV file begins with the byte order mark of UTF-8.
        metadata: Returns the key-value metadata of a Parquet file; called after the last row.

    Yields:
        The function that writes further rows.

    Raises:
        StoreError: The file cannot be written.
        DataError: Excel cannot hold the rows.

    """
    ending = path.suffix.lower()
    with open_replacement(path) as file:
        match ending:
            case ".parquet":
                with _parquet_writer(file, types(), metadata) as write:
                    yield write
            case ".xlsx":
                with _excel_writer(file, names) as write:
                    yield write
            case ".jsonl":
                yield lambda columns: _write_all(file, jsonl_bytes(columns))
            case _:
                separator = "\t" if ending == ".tsv" else delimiter
                file.write(codecs.BOM_UTF8 * byte_order_mark)
                file.write(csv_bytes(dict.fromkeys(names, ()), separator))
                yield lambda columns: _write_all(file, csv_bytes(columns, separator, header=False))


def _write_all(file: BinaryIO, raw: bytes) -> None:
    file.write(raw)


@contextmanager
def _parquet_writer(
    file: BinaryIO, types: "Mapping[str, pa.DataType]", metadata: Callable[[], Mapping[str, str]]
) -> Iterator[WriteRows]:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name.encode("utf-8", "replace").decode(), kind) for name, kind in types.items()])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:

        def write(columns: Mapping[str, Sequence[Any]]) -> None:
            """Write rows as one more row group of the file."""
            arrays = []
            for name, values in columns.items():
                try:
                    array = pa.array(values, types[name])
                except (pa.ArrowException, OverflowError, UnicodeEncodeError):
                    if types[name] != pa.string():
                        raise
                    array = pa.array(as_texts(values), types[name])
                arrays.append(array)
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write
        if found := metadata():
            writer.add_key_value_metadata(found)


@contextmanager
def _excel_writer(file: BinaryIO, names: Sequence[str]) -> Iterator[WriteRows]:
    sheet, n_rows = ExcelSheet(names), 0

    def write(columns: Mapping[str, Sequence[Any]]) -> None:
        """Append rows to the sheet, which stays in memory; more than Excel holds are refused."""
        nonlocal n_rows
        n_rows += len(next(iter(columns.values())))
        if n_rows > MAX_EXCEL_ROWS:
            raise DataError(f"Excel holds {MAX_EXCEL_ROWS:,} rows, and there are more; write a CSV file.")
        sheet.append(columns)

    yield write
    file.write(sheet.to_bytes())
