"""Read tables that have the path of an image in each row. No image is opened."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.overrides import typed
from alchemist_exp.core.types import Split
from alchemist_exp.data.images.image_files import SPLIT_OF_NAME, FoundImages, SplitImages
from alchemist_exp.data.label_column import is_missing
from alchemist_exp.data.readers import read_table, similar_column


def read_image_table(
    file: Path,
    *,
    path_column: str,
    label_column: str | None,
    group_column: str | None = None,
    split_column: str | None = None,
    encoding: str | None = None,
) -> FoundImages:
    """Read a table with the path of an image in each row.

    Args:
        file: A file of any format of `read_table`, such as CSV or TSV.
        path_column: The column of the paths, which are relative to the directory of the table, or absolute.
        label_column: The column of the labels; None for no labels.
        group_column: The column of the groups; None for no groups.
        split_column: The column of the splits, with a name of `SPLIT_OF_NAME` in each row; None if all are train.
        encoding: The encoding of a text file; None for UTF-8, or what its byte order mark says.

    Returns:
        The rows of each split in the order of the table. A missing label or group is None; others are the text of their
        cells. Whether the files exist is found when they are decoded. A note names a column that seems to have splits.

    Raises:
        DataError: The table cannot be read or has no column of that name, no rows or no row of train, a missing or
            repeated path, or an unknown split.

    """
    keys = {"path_column": path_column, "label_column": label_column, "group_column": group_column}
    keys |= {"split_column": split_column}
    wanted = [name for name in keys.values() if name is not None]
    table = read_table(file, wanted=wanted, encoding=encoding)
    for key, name in keys.items():
        if name is None:
            continue
        if name not in table.columns:
            similar = similar_column(name, table.columns)
            raise DataError(
                f"{file} has no column {name!r}{'' if similar is None else f' (did you mean {similar!r}?)'}; it has "
                f"{', '.join(map(repr, table.columns)) or 'none'}. Set "
                f"{f'dataset.{key}=NAME' if similar is None else typed(f'dataset.{key}', similar)}."
            )
    paths = _read_paths(file, path_column, table.columns[path_column])
    splits = [Split.TRAIN] * len(paths)
    if split_column is not None:
        splits = _read_splits(file, split_column, table.columns[split_column])
    if Split.TRAIN not in splits:
        raise DataError(
            f"{file} has no rows{' of the split train' if paths else ''}; add some, with or without labels."
        )
    labels, groups = (
        [
            None if name is None or is_missing(value) else str(value).strip()
            for value in table.columns[name or path_column]
        ]
        for name in (label_column, group_column)
    )
    found = {}
    for split in Split:
        if rows := [row for row, of in enumerate(splits) if of is split]:
            found[split] = SplitImages(
                paths=tuple(paths[row] for row in rows),
                labels=tuple(labels[row] for row in rows),
                groups=tuple(groups[row] for row in rows),
                other_columns={
                    name: [of[row] for row in rows] for name, of in table.columns.items() if name not in wanted
                },
                input_rows=tuple(rows),
            )
    notes = list(table.notes)
    for name, values in table.columns.items():
        if split_column is None and name not in wanted and {_split_of(value) for value in values} >= {*Split}:
            notes.append(
                f"All rows of {file} are read as train; if the column {name!r} has the splits, set "
                f"{typed('dataset.split_column', name)}."
            )
    return FoundImages(splits=found, notes=tuple(notes))


def _split_of(value: object) -> Split | None:
    return SPLIT_OF_NAME.get(str(value).strip().casefold())


def _read_paths(file: Path, column: str, values: Sequence[Any]) -> list[Path]:
    directory = file.parent.absolute()
    rows: dict[Path, int] = {}
    for row, value in enumerate(values, start=1):
        if not isinstance(value, str) or is_missing(value):
            raise DataError(
                f"{file}: row {row} has {column}={str(value)[:80]!r}; expected the path of an image. Correct it, or "
                "remove the row."
            )
        path = Path(os.path.normpath(directory / value))
        if (first := rows.setdefault(path, row)) != row:
            raise DataError(f"{file}: rows {first} and {row} have {column}={value[:80]!r}; remove one of them.")
    return [*rows]


def _read_splits(file: Path, column: str, values: Sequence[Any]) -> list[Split]:
    splits = []
    for row, value in enumerate(values, start=1):
        if (split := _split_of(value)) is None:
            raise DataError(
                f"{file}: row {row} has {column}={str(value)[:40]!r}; expected one of {', '.join(SPLIT_OF_NAME)}. "
                "Correct the value."
            )
        splits.append(split)
    return splits
