"""Make one dataset's directory from its raw files: train, valid and test as Parquet, and a manifest.

The same files give the same bytes with the same version of pyarrow. The directory is written as a whole or not at all.
"""

import hashlib
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from alchemist_exp.core.atomic_io import write_directory, write_json
from alchemist_exp.core.errors import DataError, StoreError
from alchemist_exp.core.types import Split
from alchemist_exp.data.texts import letters_and_digits
from alchemist_exp.data_prep.raw import RawRow, RowsBySplit
from alchemist_exp.data_prep.recipes import SEED, RawSource, Recipe
from alchemist_exp.data_prep.split import divide

MANIFEST = "manifest.json"

VOTES = "weak_labels"
"""The column of the votes of the human-crafted labeling functions, if the source has them."""

_LISTED = 20
"""The most source files that the manifest lists one by one; more have one digest."""

_OWN_FILES = {MANIFEST, *(f"{split}.parquet" for split in Split)}


@dataclass(frozen=True)
class Prepared:
    """A dataset that has been made.

    Attributes:
        directory: Its directory.
        manifest: The content of its manifest.json.

    """

    directory: Path
    manifest: Mapping[str, Any]


def prepare(
    name: str,
    recipe: Recipe,
    paths: Sequence[Path],
    *,
    classes: Sequence[str],
    out: Path,
    force: bool = False,
    origin: str | None = None,
) -> Prepared:
    """Write the directory of a dataset.

    Args:
        name: The dataset's name, which is also the name of its directory.
        recipe: How it is made.
        paths: The raw files, or one directory of them.
        classes: Class names by index, for the manifest.
        out: Where the directory is made.
        force: Whether a directory that an earlier call made is replaced.
        origin: REPOSITORY@REVISION on the Hugging Face Hub, for the manifest; None if the files are not from there.

    Returns:
        The directory and its manifest.

    Raises:
        DataError: The files are not those of the recipe, or are broken.
        StoreError: The directory exists and `force` is false, has files that this function did not make, or cannot be
            written.

    """
    target = out / name
    require_free(target, force)
    source, files = _choose_source(name, recipe, paths)
    published = source.read(files)
    notes = [
        f"{'The source' if split is None else split.value.capitalize()} has {len(rows):,} rows, but "
        f"{source.rows[split]:,} were published."
        for split, rows in published.items()
        if len(rows) != source.rows[split]
    ]
    with_text = {split: [row for row in rows if row.text.strip()] for split, rows in published.items()}
    if dropped := _count_rows(published) - _count_rows(with_text):
        notes.append(f"Rows without text, dropped: {dropped:,}.")
    splits = _make_splits(recipe, source, with_text, where=str(paths[0]))
    for split, rows in splits.items():
        missing = [class_name for i, class_name in enumerate(classes) if not any(row.label == i for row in rows)]
        if missing:
            raise DataError(
                f"{paths[0]}: {split.value} would have no row of {', '.join(missing)}; download the complete file."
            )
    if unused := _count_rows(with_text) - _count_rows(splits):
        notes.append(f"Rows in no split: {unused:,}.")
    manifest: dict[str, Any] = {
        "dataset": name,
        "source": {"what": source.what, "where": source.where, "hub": origin, "files": _digests(files)},
        "license": source.license,
        "seed": SEED if len(with_text) < len(Split) else None,
        "notes": [*([source.note] if source.note else []), *notes],
    }

    def fill(directory: Path) -> None:
        """Write the splits and the manifest."""
        import pyarrow

        manifest["splits"] = {split.value: _write(directory, split, rows, classes) for split, rows in splits.items()}
        manifest["repeats"] = {split.value: count_repeats(splits, split) for split in (Split.VALID, Split.TEST)}
        manifest["pyarrow"] = str(pyarrow.__version__)
        write_json(directory / MANIFEST, manifest)

    try:
        replace_directory(target, fill)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise StoreError(
                f"{target} could not be written: {error.__cause__.strerror}; set another --out."
            ) from error
        raise
    return Prepared(target, manifest)


def require_free(target: Path, force: bool, own_files: Collection[str] = _OWN_FILES) -> None:
    """Check that a dataset's directory can be written.

    Args:
        target: The directory.
        force: Whether a directory that an earlier call made may be replaced.
        own_files: The names that the script gives to the files and directories in it.

    Raises:
        StoreError: The directory exists and `force` is false, or it has files that the script did not make.

    """
    if not target.exists():
        return
    if not target.is_dir():
        raise StoreError(f"{target} is a file; move it, or set another directory by --out.")
    if not force:
        raise StoreError(f"{target} exists already; use --overwrite to replace it, or set another directory by --out.")
    made_here = own_files if (target / MANIFEST).is_file() else ()
    others = [path.name for path in sorted(target.iterdir()) if path.name not in made_here]
    if others:
        raise StoreError(f"{target} contains {', '.join(others[:3])}, which this script did not make; move it first.")


def replace_directory(target: Path, fill: Callable[[Path], None]) -> None:
    """Write a directory as a whole; an old one stays until the new one is complete.

    Args:
        target: The directory.
        fill: Writes the files into the temporary directory that it is given.

    Raises:
        StoreError: The directory cannot be written.

    """
    if not target.exists():
        write_directory(target, fill)
        return
    new, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    for leftover_of_a_killed_run in (new, old):
        shutil.rmtree(leftover_of_a_killed_run, ignore_errors=True)
    write_directory(new, fill)
    # Two renames, so that a reader finds a complete directory except in the moment between them.
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old)


def _choose_source(name: str, recipe: Recipe, paths: Sequence[Path]) -> tuple[RawSource, list[Path]]:
    """Return the first source of the recipe that each of `paths` fits, and its files."""
    expected = ", or ".join(source.what for source in recipe.sources)
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist; expected {expected}.")
        if path.suffix in (".zip", ".tgz", ".gz"):
            raise DataError(f"{path} is an archive; unpack it. Expected {expected}.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise DataError(f"{', '.join(map(str, paths))} names a file twice; name each file once.")
    for source in recipe.sources:
        matches = [
            [file for pattern in source.files for file in sorted(path.glob(pattern)) if file.is_file()]
            if path.is_dir()
            else [path] * any(fnmatchcase(path.name, pattern) for pattern in source.files)
            for path in paths
        ]
        if all(matches):
            return source, [file for files in matches for file in files]
    raise DataError(f"{', '.join(map(str, paths))} does not have the raw files of {name}; expected {expected}.")


def _count_rows(rows: Mapping[Any, Sequence[RawRow]]) -> int:
    return sum(map(len, rows.values()))


def _make_splits(recipe: Recipe, source: RawSource, rows: RowsBySplit, where: str) -> dict[Split, list[RawRow]]:
    """Return the three splits, as published or made by `SEED`, with votes only if they are correct."""
    if None in rows:
        return divide(rows[None], recipe.sizes, SEED, where)
    splits = {split: rows[split] for split in Split if split in rows}
    if Split.VALID not in splits:
        made = divide(splits[Split.TRAIN], recipe.sizes, SEED, f"{where}: train")
        splits = {**made, Split.TEST: splits[Split.TEST]}
    for split, split_rows in splits.items():
        if split not in source.votes_on:
            splits[split] = [replace(row, votes=None) for row in split_rows]
    return splits


def _write(directory: Path, split: Split, rows: Sequence[RawRow], classes: Sequence[str]) -> dict[str, Any]:
    """Write one split and return its entry in the manifest."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "text": pa.array([row.text for row in rows], pa.string()),
        "label": pa.array([row.label for row in rows], pa.int64()),
    }
    if rows[0].votes is not None:
        columns[VOTES] = pa.array([row.votes for row in rows], pa.list_(pa.int8()))
    file = directory / f"{split}.parquet"
    parquet.write_table(pa.table(columns), file, compression="zstd")
    counts = {name: sum(row.label == i for row in rows) for i, name in enumerate(classes)}
    return {"rows": len(rows), "classes": counts, "columns": list(columns), "sha256": _sha256(file)}


def count_repeats(splits: Mapping[Split, Sequence[RawRow]], split: Split) -> dict[str, int]:
    """Count the texts of a split that are also in train, by their letters and digits.

    Args:
        splits: The rows of each split.
        split: The split, not train.

    Returns:
        in_train: how many; under_other_labels: how many of them are in train with other labels only.

    """
    train_labels: dict[str, set[int]] = {}
    for row in splits[Split.TRAIN]:
        train_labels.setdefault(letters_and_digits(row.text), set()).add(row.label)
    labels = [(row.label, train_labels.get(letters_and_digits(row.text))) for row in splits[split]]
    repeated = [(label, in_train) for label, in_train in labels if in_train is not None]
    return {
        "in_train": len(repeated),
        "under_other_labels": sum(label not in in_train for label, in_train in repeated),
    }


def _digests(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the name, bytes and sha256 of each file, or one entry for all of them if there are many."""
    if len(files) <= _LISTED:
        return [{"file": file.name, "bytes": file.stat().st_size, "sha256": _sha256(file)} for file in files]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}\0{_sha256(file)}\n".encode())
    size = sum(file.stat().st_size for file in files)
    return [{"file": f"{len(files):,} files", "bytes": size, "sha256": digest.hexdigest()}]


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
