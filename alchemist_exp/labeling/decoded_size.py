"""Bounds the memory that a Parquet file of another person takes when it is read.

The metadata of the file has the size with dictionary encoding: a text that is in 40,000 rows is stored once there, and
40,000 times in memory.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import single_line

if TYPE_CHECKING:
    from pathlib import Path

MAX_READ_BYTES: Final = 1 << 31
"""Size in memory of what is read of a file."""

_BATCH_ROWS: Final = 1024


def check_decoded_size(
    path: "Path",
    row_groups: Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
    *,
    one_by_one: bool = False,
) -> None:
    """Check the size of rows of a Parquet file before they are read.

    Args:
        path: The file.
        row_groups: The row groups that will be read; None for all.
        columns: The columns that will be read; None for all.
        one_by_one: Whether the caller reads one row group after the other; each alone must then be small enough.

    Raises:
        StoreError: The rows take more than `MAX_READ_BYTES` bytes in memory.
        ValueError: A column has a type that no run writes.
        ArrowException: The file is broken.

    """
    from pyarrow import parquet

    too_large = StoreError(
        f"{single_line(str(path))} has rows that take more than {MAX_READ_BYTES:,} bytes in memory, so it is not read."
    )
    with parquet.ParquetFile(path) as file:
        groups = [*range(file.num_row_groups)] if row_groups is None else [*row_groups]
        leaves = [file.schema.column(i).path for i in range(len(file.schema))]
        read = [
            i
            for i, leaf in enumerate(leaves)
            if columns is None or any(f"{leaf}.".startswith(f"{c}.") for c in columns)
        ]
        parts = [[group] for group in groups] if one_by_one else [groups]
        for part in parts:
            chunks = (file.metadata.row_group(group).column(i) for group in part for i in read)
            if sum(chunk.total_uncompressed_size for chunk in chunks) > MAX_READ_BYTES:
                raise too_large
        texts = [leaves[i] for i in read if file.schema.column(i).physical_type == "BYTE_ARRAY"]
    # A column of texts stays encoded here, so that its size is known before it is decoded.
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        for part in parts:
            n_bytes = 0
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=part, columns=columns, use_threads=False):
                n_bytes += sum(map(_decoded_bytes, batch.columns))
                if n_bytes > MAX_READ_BYTES:
                    raise too_large


def _decoded_bytes(array: Any) -> int:
    """Return the size of an array without dictionary encoding, in bytes."""
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_dictionary(array.type):
        if array.type.value_type not in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
            return int(array.nbytes)
        sizes = compute.binary_length(array.dictionary).cast(pa.int64()).take(array.indices)
        return int(array.indices.nbytes) + (compute.sum(sizes).as_py() or 0)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return 4 * len(array) + _decoded_bytes(array.flatten())
    if pa.types.is_struct(array.type):
        return sum(map(_decoded_bytes, array.flatten()))
    if pa.types.is_nested(array.type):  # its texts may be encoded, too
        raise ValueError(f"a column has the type {array.type}")
    return int(array.nbytes)
