"""Makes one dataset's folder from its raw files: train, valid and test as Parquet, and a manifest.

The same files give the same bytes, with the same pyarrow. The folder appears whole or not at all.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from alchemist_exp.core.atomic_io import write_directory, write_json
from alchemist_exp.core.errors import DataError, StoreError
from alchemist_exp.core.types import Split
from alchemist_exp.data_prep.raw import Parts, RawRow
from alchemist_exp.data_prep.recipes import SEED, RawSource, Recipe
from alchemist_exp.data_prep.split import divided

MANIFEST = "manifest.json"

VOTES = "weak_labels"
"""The column of the human-crafted labeling functions' votes, where the source has them."""

_LISTED = 20
"""Files of a source that the manifest names one by one; more have one digest together."""

_KEPT = {MANIFEST, *(f"{split}.parquet" for split in Split)}


@dataclass(frozen=True)
class Prepared:
    """A dataset that has been made: where it is, and what its manifest says."""

    folder: Path
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
    """Writes `out`/`name` from the raw files at `paths`, a folder or files.

    classes: names by index, and origin: where on the hub the files were fetched, both for the manifest.
    DataError when they are not what `recipe` is made from. StoreError when the folder is there and not `force`, when
    it holds more than an earlier run of this made, or when it cannot be written.
    """
    target = out / name
    require_free(target, force)
    source, files = _chosen(name, recipe, paths)
    published = source.read(files)
    notes = _miscounted(source, published)
    parts = {split: [row for row in rows if row.text.strip()] for split, rows in published.items()}
    if dropped := _rows(published) - _rows(parts):
        notes.append(f"Rows without text, dropped: {dropped:,}.")
    splits = _splits(recipe, source, parts, where=str(paths[0]))
    _require_every_class(splits, classes, where=str(paths[0]))
    if left := _rows(parts) - _rows(splits):
        notes.append(f"Rows in no split: {left:,}.")
    manifest: dict[str, Any] = {
        "dataset": name,
        "source": {"what": source.what, "where": source.where, "hub": origin, "files": _digests(files)},
        "license": source.license,
        "seed": SEED if len(parts) < len(Split) else None,
        "notes": [*([source.note] if source.note else []), *notes],
    }

    def fill(folder: Path) -> None:
        manifest["splits"] = {split.value: _write(folder, split, rows, classes) for split, rows in splits.items()}
        manifest["repeats"] = {split.value: repeats(splits, split) for split in (Split.VALID, Split.TEST)}
        manifest["pyarrow"] = _pyarrow_version()
        write_json(folder / MANIFEST, manifest)

    try:
        _replace_folder(target, fill)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise StoreError(
                f"{target} could not be written: {error.__cause__.strerror}; give another --out."
            ) from error
        raise
    return Prepared(target, manifest)


def require_free(target: Path, force: bool) -> None:
    """StoreError when `target` is there and not `force`, or holds more than an earlier run of this made."""
    if not target.exists():
        return
    if not target.is_dir():
        raise StoreError(f"{target} is a file; move it away, or give another folder by --out.")
    if not force:
        raise StoreError(f"{target} is there already; say --force to make it anew, or give another folder by --out.")
    made_here = _KEPT if (target / MANIFEST).is_file() else ()
    others = [path.name for path in sorted(target.iterdir()) if path.name not in made_here]
    if others:
        raise StoreError(f"{target} holds {', '.join(others[:3])}, which was not made here; move it away first.")


def _replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """The old folder stays until the new one is whole."""
    if not target.exists():
        write_directory(target, fill)
        return
    fresh, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    for left_by_a_killed_run in (fresh, old):
        shutil.rmtree(left_by_a_killed_run, ignore_errors=True)
    write_directory(fresh, fill)
    target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old)


def _chosen(name: str, recipe: Recipe, paths: Sequence[Path]) -> tuple[RawSource, list[Path]]:
    """The first of the recipe's sources that every one of `paths` fits, and its files."""
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is not there; name {_either(recipe)}.")
        if path.suffix in (".zip", ".tgz", ".gz"):
            raise DataError(f"{path} is packed; unpack it and name what was in it: {_either(recipe)}.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise DataError(f"{', '.join(map(str, paths))} names a file twice; name each once.")
    for source in recipe.sources:
        found = [_matching(path, source.files) for path in paths]
        if all(found):
            return source, [file for files in found for file in files]
    raise DataError(f"{', '.join(map(str, paths))} is not what {name} is made from; name {_either(recipe)}.")


def _either(recipe: Recipe) -> str:
    return ", or ".join(source.what for source in recipe.sources)


def _matching(path: Path, patterns: Sequence[str]) -> list[Path]:
    if path.is_dir():
        return [file for pattern in patterns for file in sorted(path.glob(pattern)) if file.is_file()]
    return [path] if any(fnmatchcase(path.name, pattern) for pattern in patterns) else []


def _rows(parts: Mapping[Any, Sequence[RawRow]]) -> int:
    return sum(map(len, parts.values()))


def _miscounted(source: RawSource, parts: Parts) -> list[str]:
    """A note for each part that has another number of rows than was published."""
    return [
        f"{'The source' if split is None else split.value.capitalize()} has {len(rows):,} rows, "
        f"and {source.rows[split]:,} were published."
        for split, rows in parts.items()
        if len(rows) != source.rows[split]
    ]


def _require_every_class(splits: Mapping[Split, Sequence[RawRow]], classes: Sequence[str], where: str) -> None:
    for split, rows in splits.items():
        absent = [name for i, name in enumerate(classes) if not any(row.label == i for row in rows)]
        if absent:
            raise DataError(f"{where}: {split.value} would have no row of {', '.join(absent)}; get it again, whole.")


def _splits(recipe: Recipe, source: RawSource, parts: Parts, where: str) -> dict[Split, list[RawRow]]:
    """The three splits: as published where they are, made by `SEED` where not. Votes only where they are sound."""
    if None in parts:
        return divided(parts[None], recipe.sizes, SEED, where)
    splits = {split: parts[split] for split in Split if split in parts}
    if Split.VALID not in splits:
        made = divided(splits[Split.TRAIN], recipe.sizes, SEED, f"{where}: train")
        splits = {**made, Split.TEST: splits[Split.TEST]}
    for split, rows in splits.items():
        if split not in source.votes_on:
            splits[split] = [replace(row, votes=None) for row in rows]
    return splits


def _write(folder: Path, split: Split, rows: Sequence[RawRow], classes: Sequence[str]) -> dict[str, Any]:
    """Writes one split, and gives its line in the manifest."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "text": pa.array([row.text for row in rows], pa.string()),
        "label": pa.array([row.label for row in rows], pa.int64()),
    }
    if rows[0].votes is not None:
        columns[VOTES] = pa.array([row.votes for row in rows], pa.list_(pa.int8()))
    file = folder / f"{split}.parquet"
    parquet.write_table(pa.table(columns), file, compression="zstd")
    counts = {name: sum(row.label == i for row in rows) for i, name in enumerate(classes)}
    return {"rows": len(rows), "classes": counts, "columns": list(columns), "sha256": _sha256(file)}


def _pyarrow_version() -> str:
    import pyarrow

    return str(pyarrow.__version__)


def repeats(splits: Mapping[Split, Sequence[RawRow]], split: Split) -> dict[str, int]:
    """How many rows of `split` also stand in train, going by letters and digits; how many only under other labels."""
    labels: dict[str, set[int]] = {}
    for row in splits[Split.TRAIN]:
        labels.setdefault(_bare(row.text), set()).add(row.label)
    found = [(row.label, labels[bare]) for row in splits[split] if (bare := _bare(row.text)) in labels]
    return {"in_train": len(found), "under_other_labels": sum(label not in known for label, known in found)}


def _bare(text: str) -> str:
    """Letters and digits alone; a text without any stands for itself."""
    return re.sub(r"[\W_]+", "", text.casefold()) or text


def _digests(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The name, size in bytes and sha256 of each file, or of all together by name where there are many."""
    if len(files) <= _LISTED:
        return [{"file": file.name, "bytes": file.stat().st_size, "sha256": _sha256(file)} for file in files]
    together = hashlib.sha256()
    for file in files:
        together.update(f"{file.parent.name}/{file.name}\0{_sha256(file)}\n".encode())
    size = sum(file.stat().st_size for file in files)
    return [{"file": f"{len(files):,} files", "bytes": size, "sha256": together.hexdigest()}]


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
