"""The columns of the input that no stage uses, such as ids: they are carried to the labels of a run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alchemist_exp.core.types import Split

if TYPE_CHECKING:
    import pyarrow as pa


def other_columns(
    columns: Mapping[str, Sequence[Any]], used: Sequence[str | None], rows: Sequence[int], file: Path | None
) -> "pa.Table":
    """Return the columns that the dataset does not use.

    Args:
        columns: All columns of the input, one value per row.
        used: The names of the columns that the dataset uses.
        rows: The numbers of the rows of the split, in their order.
        file: The file that the columns are from, None if there is none. A Parquet file has the types of its columns;
            other types are inferred from the values.

    Returns:
        One row for each row of the split.

    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = parquet.read_schema(file) if file and file.suffix.lower() == ".parquet" else pa.schema([])
    kinds = dict(zip(schema.names, schema.types, strict=True))
    return pa.table(
        {
            name: as_array([values[row] for row in rows], kinds.get(name))
            for name, values in columns.items()
            if name not in used
        }
    )


def unify_types(tables: Mapping[Split, "pa.Table"], n_rows: Mapping[Split, int]) -> dict[Split, "pa.Table"]:
    """Give the other columns of all splits the same names and types.

    Args:
        tables: The other columns of each split.
        n_rows: The rows of each split; a table without columns does not have them.

    Returns:
        The same rows. A column that is not in a split is null there; one whose types have no common type is text.

    Example:
        >>> import pyarrow as pa
        >>> tables = {Split.TRAIN: pa.table({"id": [1, 2]}), Split.TEST: pa.table({"id": ["a"], "day": [None]})}
        >>> unify_types(tables, {Split.TRAIN: 2, Split.TEST: 1})[Split.TRAIN].to_pylist()
        [{'id': '1', 'day': None}, {'id': '2', 'day': None}]

    """
    import pyarrow as pa

    names = dict.fromkeys(name for table in tables.values() for name in table.column_names)
    columns: dict[Split, dict[str, Any]] = {split: {} for split in tables}
    for name in names:
        parts = [
            table.select([name]) if name in table.column_names else pa.table({name: pa.nulls(n_rows[split])})
            for split, table in tables.items()
        ]
        try:
            whole = pa.concat_tables(parts, promote_options="permissive")
        except pa.ArrowException:
            texts = [pa.table({name: pa.array(as_texts(part[name].to_pylist()), pa.string())}) for part in parts]
            whole = pa.concat_tables(texts)
        start = 0
        for split in tables:
            columns[split][name] = whole[name].slice(start, n_rows[split])
            start += n_rows[split]
    return {split: pa.table(columns[split]) for split in tables}


def as_array(values: Sequence[Any], kind: "pa.DataType | None" = None) -> Any:
    """Return values as an Arrow array that Parquet can store.

    Args:
        values: One value per row; None is null.
        kind: The type to try first; None infers it from the values.

    Returns:
        An array of this type, or of the inferred one; of texts if the values have no common type that Parquet can
        store.

    """
    import pyarrow as pa

    for tried in [kind, None] if kind is not None else [None]:
        try:
            array = pa.array(values, tried)
            if not _has_empty_struct(array.type):
                return array
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            pass
    return pa.array(as_texts(values), pa.string())


def _has_empty_struct(kind: "pa.DataType") -> bool:
    """Return whether a type has a struct without fields, from {} in JSON, which Parquet cannot store."""
    if str(kind) == "struct<>":
        return True
    return any(_has_empty_struct(kind.field(i).type) for i in range(kind.num_fields))


def as_texts(values: Sequence[Any]) -> list[str | None]:
    """Return strings as they are, but for lone surrogates, and other values as JSON.

    Args:
        values: Any values; None stays.

    Returns:
        One text, or None, for each value.

    """
    texts = (v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str) for v in values)
    return [text if text is None else text.encode("utf-8", "replace").decode("utf-8") for text in texts]
