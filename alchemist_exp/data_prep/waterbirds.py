"""Make the directory of Waterbirds from a copy on the Hugging Face Hub, in the layout that group_DRO publishes.

The copy could not be reached when this was written, so its columns are checked when it is read. The directory is
written as a whole or not at all, and one image at a time is in memory.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alchemist_exp.core.atomic_io import remove_partial_files, write_json
from alchemist_exp.core.errors import DataError, StoreError, require_packages
from alchemist_exp.core.locks import locked
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import HubFiles
from alchemist_exp.data.images.decode import FORMATS
from alchemist_exp.data.images.image_files import SPLIT_OF_NAME
from alchemist_exp.data.images.waterbirds import ARCHIVE, CLASSES, METADATA, PLACES
from alchemist_exp.data_prep.hub import Tables, load_tables
from alchemist_exp.data_prep.prepare import MANIFEST, Prepared, replace_directory, require_free

if TYPE_CHECKING:
    from datasets import Dataset

NAME: Final = "waterbirds"
PUBLISHED: Final = "github.com/kohpangwei/group_DRO"
"""The repository whose README links the published archive."""

ROWS: Final = {Split.TRAIN: 4795, Split.VALID: 1199, Split.TEST: 5794}
"""The published number of images."""

_HEADER = ("img_id", "img_filename", "y", "split", "place", "place_filename")
_COLUMNS = {"image": ("image",), "label": ("label", "y"), "place": ("place", "background")}
_OWN_FILES = {MANIFEST, METADATA, *map(str, Split)}
_EXTENSIONS = {"JPEG": ".jpg", "TIFF": ".tif"}  # of the others, the name of the format
_INSTEAD = f"Unpack the published archive {ARCHIVE} ({PUBLISHED}) instead."
_USUAL_SHARE = 0.9
"""Where fewer training images have the background of their class (95% are published), columns are probably mixed up."""


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The column of the images of one split, and the index of each label and place."""

    where: str
    first_id: int
    image: str
    labels: list[int]
    places: list[int]


def prepare_waterbirds(hub: HubFiles, *, license_: str, out: Path, force: bool = False) -> Prepared:
    """Download a copy of Waterbirds, and write its images, metadata.csv and manifest.json.

    The bytes of the images stay as they are in the repository.

    Args:
        hub: Where the copy is on the Hub: a repository with the splits train, validation and test, and the columns
            image, label (or y) and place (or background).
        license_: The license of the images, for the manifest.
        out: Where the directory waterbirds is made.
        force: Whether a directory that an earlier call made is replaced.

    Returns:
        The directory and its manifest.

    Raises:
        DataError: The Hub is not reachable, or the repository has other splits, columns or values.
        StoreError: The directory exists and `force` is false, or has other files, or cannot be written.
        ConfigError: Pillow is not installed.

    """
    target = out / NAME
    check_free(target, force)
    require_packages(f"the preparation of {NAME}", "images", "PIL")
    tables = load_tables(hub, advice=_INSTEAD)
    by_split = _splits(tables)
    columns: dict[Split, _Columns] = {}
    for split, table in by_split.items():
        n_before = sum(len(of.labels) for of in columns.values())
        columns[split] = _columns(table, f"{tables.origin}, {split}", first_id=n_before + 1)
    manifest: dict[str, Any] = {
        "dataset": NAME,
        "source": {
            "what": f"a copy of {ARCHIVE}",
            "where": f"https://huggingface.co/datasets/{hub.repo}",
            "hub": tables.origin,
        },
        "license": license_,
        "notes": _notes(columns),
    }

    def fill(directory: Path) -> None:
        """Write the images, metadata.csv and the manifest."""
        with (directory / METADATA).open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_HEADER)
            manifest["splits"] = {
                split.value: _write(directory, split, table, columns[split], writer.writerow)
                for split, table in by_split.items()
            }
        write_json(directory / MANIFEST, manifest)

    out.mkdir(parents=True, exist_ok=True)
    with locked(out / f".lock.{NAME}"):
        check_free(target, force)
        remove_partial_files(target)
        try:
            replace_directory(target, fill)
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                raise StoreError(
                    f"{target} could not be written: {error.__cause__.strerror}; set another --out."
                ) from error
            raise
    return Prepared(target, manifest)


def check_free(target: Path, force: bool) -> None:
    """Check that the directory of Waterbirds can be written, see `require_free`.

    Args:
        target: The directory.
        force: Whether a directory that an earlier call made may be replaced.

    Raises:
        StoreError: It cannot.

    """
    require_free(target, force, own_files=_OWN_FILES)


def _splits(tables: Tables) -> dict[Split, "Dataset"]:
    """Return the tables of the three splits; any other set of splits is refused."""
    found = {SPLIT_OF_NAME[name]: table for name, table in tables.splits.items() if name in SPLIT_OF_NAME}
    if missing := [split.value for split in Split if split not in found]:
        raise DataError(
            f"{tables.origin} has no split {' and no split '.join(missing)}; it has {', '.join(tables.splits)}. "
            f"{_INSTEAD}"
        )
    return {split: found[split] for split in Split}


def _columns(table: "Dataset", where: str, first_id: int) -> _Columns:
    """Return the columns of a split; one sentence names those that are missing."""
    chosen = {
        what: next((name for name in names if name in table.column_names), None) for what, names in _COLUMNS.items()
    }
    if missing := [" or ".join(_COLUMNS[what]) for what, name in chosen.items() if name is None]:
        raise DataError(
            f"{where}: there is no column {' and no column '.join(missing)}; it has {', '.join(table.column_names)}. "
            f"{_INSTEAD}"
        )
    return _Columns(
        where=where,
        first_id=first_id,
        image=str(chosen["image"]),
        labels=_indices(table, str(chosen["label"]), CLASSES, where),
        places=_indices(table, str(chosen["place"]), PLACES, where),
    )


def _indices(table: "Dataset", column: str, names: Sequence[str], where: str) -> list[int]:
    """Return the index of each value: 0 or 1, or a name as in `names`, also of a ClassLabel in another order."""
    import datasets

    feature, values = table.features[column], table[column][:]
    known: dict[object, int] = {0: 0, 1: 1}
    if isinstance(feature, datasets.ClassLabel) and set(feature.names) != {"0", "1"}:
        known = {number: names.index(name) for number, name in enumerate(feature.names) if name in names}
    elif any(isinstance(value, str) for value in values):
        known = {name: index for index, name in enumerate(names)}
    indices = [-1 if isinstance(value, float) else known.get(value, -1) for value in values]
    if -1 in indices:
        row = indices.index(-1)
        value = values[row]
        if isinstance(feature, datasets.ClassLabel) and isinstance(value, int) and 0 <= value < len(feature.names):
            value = feature.names[value]
        raise DataError(
            f"{where}: row {row + 1} has {column}={str(value)[:40]!r}; expected 0 ({names[0]}) or 1 ({names[1]}). "
            f"{_INSTEAD}"
        )
    return indices


def _notes(columns: Mapping[Split, _Columns]) -> list[str]:
    """Return a note on each number that differs from the published ones."""
    notes = [
        f"{split.value.capitalize()} has {len(of.labels):,} rows, but {ROWS[split]:,} were published."
        for split, of in columns.items()
        if len(of.labels) != ROWS[split]
    ]
    train = columns[Split.TRAIN]
    share = sum(map(int.__eq__, train.labels, train.places)) / max(len(train.labels), 1)
    if share < _USUAL_SHARE:
        notes.append(
            f"Only {share:.0%} of the training images have the background of their class, but 95% were published; "
            "check the labels."
        )
    return notes


def _write(
    directory: Path, split: Split, table: "Dataset", columns: _Columns, write_row: Callable[[Sequence[object]], object]
) -> dict[str, Any]:
    """Write the images and the metadata of one split, and return its entry in the manifest."""
    (directory / split).mkdir()
    number = [*Split].index(split)  # as in the published file: 0 is train, 1 valid, 2 test
    digest = hashlib.sha256()
    for row, raw in enumerate(_images(table, columns)):
        y, place = columns.labels[row], columns.places[row]
        name = f"{split}/{row:05d}{_extension(raw, f'{columns.where}: row {row + 1}')}"
        (directory / name).write_bytes(raw)
        write_row((columns.first_id + row, name, y, number, place, ""))
        digest.update(f"{y},{place},{hashlib.sha256(raw).hexdigest()}\n".encode())
    groups = Counter(zip(columns.labels, columns.places, strict=True))
    return {
        "rows": len(columns.labels),
        "classes": {name: columns.labels.count(y) for y, name in enumerate(CLASSES)},
        "groups": {
            f"{name} on {place_name}": groups[y, place]
            for y, name in enumerate(CLASSES)
            for place, place_name in enumerate(PLACES)
        },
        "sha256": digest.hexdigest(),
    }


def _images(table: "Dataset", columns: _Columns) -> Iterator[bytes]:
    """Yield the bytes of each image as they are stored; no image is decoded."""
    import datasets

    table = table.select_columns(columns.image)
    if isinstance(table.features[columns.image], datasets.Image):
        table = table.cast_column(columns.image, datasets.Image(decode=False))
    for row, stored in enumerate(table, start=1):
        value = stored[columns.image]
        raw, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if raw is None and path is not None and Path(path).is_file():  # a repository of image files
            raw = Path(path).read_bytes()
        if not isinstance(raw, bytes):
            raise DataError(f"{columns.where}: row {row} has no bytes of an image in {columns.image}. {_INSTEAD}")
        yield raw


def _extension(raw: bytes, where: str) -> str:
    """Return the extension of an image's format; only the header is read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            name = str(image.format)
    except Exception as error:
        raise DataError(f"{where} is not an image of a known format ({', '.join(FORMATS)}). {_INSTEAD}") from error
    return _EXTENSIONS.get(name, f".{name.lower()}")
