"""Finds the files of a dataset's splits and reads them."""

from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.readers import EXTENSIONS, extension, is_readable, read_table
from alchemist_exp.data.split_tables import SplitTable, SplitTables
from alchemist_exp.data.text_formats import decode_text

SPLIT_FILE_NAMES = {
    Split.TRAIN: ("train",),
    Split.VALID: ("valid", "validation", "val", "dev", "eval"),
    Split.TEST: ("test",),
}
"""The file names of each split, without their extension; upper case is the same."""

_NO_TABLES = ("", ".json", ".py", ".md", ".log", ".yaml", ".yml", ".sh", ".ipynb")
"""Files with such extensions are no tables, whatever their name is: code, descriptions and logs."""

PREPARED = ("youtube", "sms", "yelp", "imdb", "medabs", "cancer", "finance", "french")
"""The paper's text datasets, which `scripts/prepare_data.py` makes; a test compares this list with its recipes."""


def require_path(path: Path, name: str) -> None:
    """Check that the file or directory of a dataset exists.

    Args:
        path: The file or directory.
        name: The dataset's name, for messages.

    Raises:
        DataError: It does not exist; the message says how to get or name it.

    """
    try:
        exists = path.is_file() or path.is_dir()
    except OSError as error:
        raise DataError(f"dataset.path={str(path)[:80]!r} is not a possible path: {error.strerror}.") from error
    if exists:
        return
    if name not in PREPARED or path.name != name:
        raise DataError(f"{str(path)!r} does not exist; set dataset.path to the file or directory of {name!r}.")
    raise DataError(
        f"the files of dataset {name!r} are not at {str(path)!r}; set ALCHEMIST_DATA (or paths.data) to a "
        f"directory with {name}/train.parquet, valid.parquet and test.parquet, or make them from the "
        f"published files with `python scripts/prepare_data.py {name} --source FILE` (without --source it prints "
        "where those are)."
    )


def require_encoding(name: str) -> None:
    """Check that dataset.encoding is the name of a text encoding.

    Args:
        name: Its value.

    Raises:
        ConfigError: It is not.

    """
    try:
        b" ".decode(name)
    except UnicodeError:
        return  # a text encoding of longer units
    except (LookupError, ValueError) as error:
        raise ConfigError(
            f"dataset.encoding={name!r} is unknown; examples are utf-8, utf-16, cp1252 and gb18030."
        ) from error


def read_splits(path: Path, name: str, *, wanted: Sequence[str], encoding: str | None) -> SplitTables:
    """Read the splits of a dataset.

    Args:
        path: A file, which is the training split, or a directory. It has train, valid and test with any readable
            extension, or only .txt files, which are one training row each.
        name: The dataset's name, for messages.
        wanted: Columns that are expected; they help to find the delimiter of a CSV file.
        encoding: The encoding of text files; None for UTF-8, or what their byte order mark says.

    Returns:
        The splits that have a file.

    Raises:
        DataError: There is no training split, a split has two files, or a file cannot be read.

    """
    require_path(path, name)
    files: dict[Split, Path] = {Split.TRAIN: path}
    notes: tuple[str, ...] = ()
    if path.is_dir():
        files, notes = _split_files(path)
    if not files:
        columns = {"text": [_read_text(file, encoding) for file in _text_files(path)]}
        texts = SplitTable(where=str(path), columns=columns)
        return SplitTables(splits={Split.TRAIN: texts}, notes=notes)
    tables = {split: read_table(file, wanted=wanted, encoding=encoding) for split, file in files.items()}
    return SplitTables(
        splits={
            split: SplitTable(
                where=str(files[split]), file=files[split], columns=table.columns, class_names=table.class_names
            )
            for split, table in tables.items()
        },
        notes=(*notes, *(note for table in tables.values() for note in table.notes)),
    )


def _split_files(path: Path) -> tuple[dict[Split, Path], tuple[str, ...]]:
    """Return the file of each split of a directory, none if its rows are .txt files, and a note on unused files."""
    visible = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    by_split = {
        split: [f for f in visible if is_readable(f) and f.name.lower().removesuffix(extension(f)) in names]
        for split, names in SPLIT_FILE_NAMES.items()
    }
    for file in (file for found in by_split.values() for file in found):
        _require_file(file)
    readable = [file for file in visible if is_readable(file) and file.is_file()]
    for split, found in by_split.items():
        if len(found) > 1:
            raise DataError(
                f"{path} has {' and '.join(file.name for file in found)} for the split {split}; keep only one."
            )
    files = {split: found[0] for split, found in by_split.items() if found}
    # A JSON file is often metadata, such as the manifest of a prepared dataset.
    unused = [file.name for file in readable if file not in files.values() and extension(file) != ".json"]
    if Split.TRAIN not in files and not files and _text_files(path):
        return {}, _unused_note(path, unused)
    for split, names in SPLIT_FILE_NAMES.items():
        others = [file for file in visible if file.name.lower().split(".")[0] in names and not is_readable(file)]
        tables = [file.name for file in others if file.suffix.lower() not in _NO_TABLES]
        if tables and split not in files:
            raise DataError(
                f"{path} has {_names(tables)} for the split {split}, which cannot be read; save the rows as "
                f"{names[0]}.csv (or {', '.join(e for e in EXTENSIONS if e != '.csv')}), or move the file away."
            )
        unused += [*tables, *(f"{file.name}/" for file in others if file.name not in tables and file.is_dir())]
    if Split.TRAIN not in files:
        has = f" (it has {_names(unused)}; a single file is named by dataset.path=FILE)" if unused else ""
        raise DataError(
            f"the directory dataset.path={str(path)!r} has no training split{has}; it needs train.csv (or "
            f"{', '.join(e for e in EXTENSIONS if e != '.csv')}) and may have valid and test, or it needs .txt files, "
            "one per row."
        )
    return files, _unused_note(path, unused)


def _unused_note(path: Path, unused: list[str]) -> tuple[str, ...]:
    known = ", ".join(name for names in SPLIT_FILE_NAMES.values() for name in names)
    note = f"Files of {path} that are not read: {_names(unused)}; files of splits are called {known}."
    return (note,) if unused else ()


def _text_files(path: Path) -> list[Path]:
    """Return the .txt files of a directory in the order of their names, without hidden ones."""
    return sorted(f for f in path.iterdir() if f.suffix.lower() == ".txt" and not f.name.startswith("."))


def _require_file(file: Path) -> None:
    """Check that a file of a dataset is a regular file, or a link to one; to read a named pipe would block."""
    if file.is_file():
        return
    kind = "a directory" if file.is_dir() else "not a regular file" if file.exists() else "a link to a missing file"
    raise DataError(f"{file} is {kind}, so its rows cannot be read; put the file there, or remove it.")


def _names(files: list[str]) -> str:
    return ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")


def _read_text(file: Path, encoding: str | None) -> str:
    _require_file(file)
    try:
        return decode_text(file.read_bytes(), encoding)[0]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not {error.encoding.upper()} (byte {error.start}); save it as UTF-8, or set dataset.encoding."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from error
