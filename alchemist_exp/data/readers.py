"""Readers of CSV, TSV, JSONL, JSON, Excel and Parquet files, and a summary of a file. Errors have the row or line."""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.excel import read_excel
from alchemist_exp.data.label_column import is_missing
from alchemist_exp.data.table import Table
from alchemist_exp.data.text_formats import read_csv, read_json_table, read_jsonl, read_text


@dataclass(frozen=True, kw_only=True)
class TableSummary:
    """What a file has, before anything is configured.

    Attributes:
        path: The file.
        columns: The names of the columns, in the order of the file.
        n_rows: The number of rows.
        delimiter: The character between the fields of a CSV file; None for other formats.
        encoding: The encoding of a text file; None for other formats.
        n_empty_texts: Rows whose text is missing or blank; None if there is no text column.
        labels: How often each value of the label column occurs, the most frequent first; None if there is no label
            column. Missing labels are not counted.
        class_names: The class names that the file itself gives the label column, in the order of their indices; None
            for none.
        notes: What the user should know, one sentence each.

    """

    path: Path
    columns: tuple[str, ...]
    n_rows: int
    delimiter: str | None
    encoding: str | None
    n_empty_texts: int | None
    labels: Mapping[str, int] | None
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...]


def inspect_table(
    path: Path, *, text_column: str = "text", label_column: str = "label", encoding: str | None = None
) -> TableSummary:
    """Read a file and say what is in it.

    Args:
        path: A file of any readable format.
        text_column: The column of the texts.
        label_column: The column of the labels.
        encoding: The encoding of a text file; None for UTF-8, or what its byte order mark says.

    Returns:
        The summary. A column that is not there is no error: the summary has the names of those that are.

    Raises:
        DataError: The file cannot be read.

    """
    table = read_table(path, wanted=(text_column, label_column), encoding=encoding)
    texts, labels = table.columns.get(text_column), table.columns.get(label_column)
    counts = None if labels is None else Counter(str(label) for label in labels if not is_missing(label))
    return TableSummary(
        path=path,
        columns=tuple(table.columns),
        n_rows=table.n_rows,
        delimiter=table.delimiter,
        encoding=table.encoding,
        n_empty_texts=None if texts is None else sum(is_missing(text) for text in texts),
        labels=None if counts is None else dict(counts.most_common()),
        class_names=table.class_names.get(label_column),
        notes=table.notes,
    )


def similar_column(wanted: str, columns: Iterable[str]) -> str | None:
    """Return the column that a user probably means by a name that no column has.

    Args:
        wanted: The name that is missing.
        columns: The names that exist.

    Returns:
        A name that differs in case, blanks, a plural or a typing error; None if there is none.

    Example:
        >>> similar_column("label", ["text", " Labels"])
        ' Labels'

    """
    folded = {name.strip().casefold(): name for name in reversed([*columns])}
    close = get_close_matches(wanted.strip().casefold(), folded, n=1, cutoff=0.8)
    return folded[close[0]] if close else None


def read_table(path: Path, *, wanted: Sequence[str] = (), encoding: str | None = None) -> Table:
    """Read a file by its extension.

    Args:
        path: A CSV, TSV, JSONL, NDJSON, JSON, Excel (.xlsx) or Parquet file; text formats also as .gz.
        wanted: Columns that are expected; they help to find the delimiter of a CSV file.
        encoding: The encoding of a text file; None for UTF-8, or what its byte order mark says.

    Returns:
        The columns, and what else the file says.

    Raises:
        DataError: The file cannot be read.

    """
    name = extension(path)
    with explain_read_errors(path):
        if reader := TEXT_READERS.get(name.removesuffix(".gz")):
            text, used = read_text(path, encoding)
            table = reader(text, wanted, used)
        elif binary_reader := BINARY_READERS.get(name):
            table = binary_reader(path)
        else:
            raise DataError(f"{path} has the extension {name or 'nothing'!r}; expected {', '.join(EXTENSIONS)}.")
        if not table.columns:
            raise DataError(f"{path} is empty; it needs rows with named columns, such as text and label.")
        return table


@contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turn an error of a reader into one sentence.

    Args:
        path: The file that is read inside the `with` block.

    Raises:
        DataError: It could not be read.

    """
    try:
        yield
    except UnicodeDecodeError as error:
        used = {"utf-8-sig": "utf-8"}.get(error.encoding, error.encoding)
        raise DataError(
            f"{path} is not {used.upper()} (byte {error.start}); save it as UTF-8, or set dataset.encoding, as in "
            "dataset.encoding=cp1252."
        ) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read: {reason}") from error


def extension(path: Path) -> str:
    """Return the lower-case extension of a file; of a compressed one, both, as in ".csv.gz"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def _read_parquet(path: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        names = parquet.read_schema(path).names
        if len(set(names)) < len(names):
            raise ValueError(f"two columns have the same name in {names}")
        table = parquet.read_table(path)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (KeyError, pyarrow.ArrowException) as error:
        raise ValueError(error) from error
    return Table(columns=columns, class_names=stored_class_names(table.schema.metadata or {}))


def stored_class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the class names of the columns that the library `datasets` stored as ClassLabel, or as lists of it."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        items = {name: one.get("feature", one) for name, one in features.items()}
        labels = {name: one["names"] for name, one in items.items() if one.get("_type") == "ClassLabel"}
        return {name: tuple(map(str, names)) for name, names in labels.items() if names}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}  # without names, the column has class indices


TEXT_READERS: dict[str, Callable[[str, Sequence[str], str], Table]] = {
    ".csv": read_csv,
    ".tsv": partial(read_csv, usual="\t"),
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json_table,
}
"""Readers of a text, given the wanted columns and the encoding; each format may be compressed (.gz)."""

BINARY_READERS: dict[str, Callable[[Path], Table]] = {".parquet": _read_parquet, ".xlsx": read_excel}

EXTENSIONS = (*TEXT_READERS, *BINARY_READERS)


def is_untyped(path: Path) -> bool:
    """Return whether the reader of a file returns all values as text, numbers too."""
    return extension(path).removesuffix(".gz") in (".csv", ".tsv", ".xlsx")


def is_readable(path: Path) -> bool:
    """Return whether a file has the extension of a readable format."""
    return extension(path).removesuffix(".gz") in TEXT_READERS or extension(path) in BINARY_READERS
