"""Read the metadata of Waterbirds: birds of CUB on backgrounds of Places (Sagawa et al. 2020, arXiv:1911.08731)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import IntArray, Split, read_only
from alchemist_exp.data.readers import read_table, similar_column
from alchemist_exp.data.table import Columns

ARCHIVE: Final = "waterbird_complete95_forest2water2"
"""The directory in the archive that the repository group_DRO publishes."""

METADATA: Final = "metadata.csv"
CLASSES: Final = ("landbird", "waterbird")
PLACES: Final = ("land", "water")

_NAME, _LABEL, _PLACE, _SPLIT = "img_filename", "y", "place", "split"
_SPLITS = (Split.TRAIN, Split.VALID, Split.TEST)  # by the number in the file
_MEANINGS = {_LABEL: CLASSES, _PLACE: PLACES, _SPLIT: _SPLITS}


@dataclass(frozen=True, kw_only=True, eq=False)
class WaterbirdsSplit:
    """The rows of one split, in the order of the file.

    Attributes:
        paths: The absolute path of each image; the files need not exist.
        labels: Read-only int64 array of shape (n_rows,): indices in `CLASSES`.
        places: Read-only int64 array of shape (n_rows,): indices in `PLACES`.
        rows: Read-only int64 array of shape (n_rows,): row numbers in the file, from 0.

    """

    paths: tuple[Path, ...]
    labels: IntArray
    places: IntArray
    rows: IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class WaterbirdsMetadata:
    """What metadata.csv says.

    Attributes:
        splits: The splits that have rows; train is always one of them.

    """

    splits: Mapping[Split, WaterbirdsSplit]


def read_metadata(directory: Path) -> WaterbirdsMetadata:
    """Read metadata.csv as published; the images are not opened.

    Args:
        directory: The directory with metadata.csv, to which the names of images are relative.

    Returns:
        The rows of each split.

    Raises:
        DataError: The file is missing, has no column of that name, an unknown value, an image without a name, two rows
            with one name, a name outside the directory, or no rows of train.

    """
    file = directory / METADATA
    require_metadata(directory)
    columns = read_table(file, wanted=(_NAME, *_MEANINGS)).columns
    for name in (_NAME, *_MEANINGS):
        if name not in columns:
            similar = similar_column(name, columns)
            raise DataError(
                f"{file} has no column {name!r}{'' if similar is None else f' (did you mean {similar!r}?)'}; it has "
                f"{', '.join(map(repr, columns))}. Use {METADATA} as it is in {ARCHIVE}."
            )
    numbers = {name: _read_numbers(file, columns, name) for name in _MEANINGS}
    paths = _read_paths(file, columns[_NAME])
    splits = {}
    for number, split in enumerate(_SPLITS):
        rows = np.flatnonzero(numbers[_SPLIT] == number)
        if len(rows):
            splits[split] = WaterbirdsSplit(
                paths=tuple(paths[row] for row in rows),
                labels=read_only(numbers[_LABEL][rows], np.int64),
                places=read_only(numbers[_PLACE][rows], np.int64),
                rows=read_only(rows, np.int64),
            )
    if Split.TRAIN not in splits:
        raise DataError(
            f"{file} has no row with split=0, which is train (1 is valid, 2 is test); use it as it is in {ARCHIVE}."
        )
    return WaterbirdsMetadata(splits=splits)


def require_metadata(directory: Path) -> None:
    """Check that a directory has metadata.csv.

    Args:
        directory: The directory.

    Raises:
        DataError: It does not; the message says where the published archive is.

    """
    file = directory / METADATA
    try:
        if file.is_file():
            return
        inside = directory / ARCHIVE
        if (inside / METADATA).is_file():
            raise DataError(f"{METADATA} is not in {directory} but in {inside}; set dataset.path={inside}.")
        what = f"{directory} has no {METADATA}" if directory.is_dir() else f"the directory {directory} does not exist"
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}; set dataset.path to another directory.") from error
    raise DataError(
        f"{what}; unpack the archive {ARCHIVE} of the repository group_DRO (github.com/kohpangwei/group_DRO), and set "
        f"dataset.path to the directory that has {METADATA}, or download a copy by `python scripts/prepare_data.py "
        "waterbirds --hub`."
    )


def _read_numbers(file: Path, columns: Columns, name: str) -> IntArray:
    """Return the numbers of a column with known values."""
    meanings = _MEANINGS[name]
    known = {str(number): number for number in range(len(meanings))}
    numbers = [known.get(value.strip(), -1) for value in columns[name]]
    if -1 in numbers:
        row = numbers.index(-1)
        valid = ", ".join(f"{number} ({meaning})" for number, meaning in enumerate(meanings))
        raise DataError(
            f"{file}: row {row + 1} has {name}={columns[name][row][:40]!r}; expected {valid}. Correct the value."
        )
    return np.array(numbers, dtype=np.int64)


def _read_paths(file: Path, names: Sequence[str]) -> list[Path]:
    """Return the absolute path of each name; refuse those that are empty, occur again or leave the directory."""
    directory = file.parent.absolute()
    rows: dict[PurePosixPath, int] = {}
    for row, name in enumerate(names, start=1):
        relative = PurePosixPath(name)
        if not name.strip() or not relative.parts:
            raise DataError(f"{file}: row {row} has no {_NAME}; write the name of its image, or remove the row.")
        if relative.is_absolute() or ".." in relative.parts:
            raise DataError(
                f"{file}: row {row} has {_NAME}={name[:80]!r}, which is not inside the directory; expected a path "
                f"relative to {directory}, without '..'."
            )
        if (first := rows.setdefault(relative, row)) != row:
            raise DataError(f"{file}: rows {first} and {row} have {_NAME}={name[:80]!r}; remove one of them.")
    return [directory / relative for relative in rows]
