"""Rows that are images: files, or drawings that are made when they are needed.

An image is stored as one line of JSON that says where it is and has a key of its content, so that a table of a million
images holds no pixels. A file that is not an image stays in the table as a row without content, with the reason.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, overload

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.hashing import key_of, texts_fingerprint
from alchemist_exp.core.parallel import map_in_threads
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import Split
from alchemist_exp.data.images.decode import ImageArray, decode
from alchemist_exp.data.images.toy_birds import Bird, ToyBirds, draw_row
from alchemist_exp.data.row_kind import RowKind, TablePart

if TYPE_CHECKING:
    import pyarrow as pa

MIN_SHARE_OF_IMAGES: Final = 0.5
"""With a smaller share of usable files in a split, the path is probably a mistake."""

_SHOWN_REASONS: Final = 10
_SHOWN_NAMES: Final = 3

_REMEMBERED_FILES: Final = 100_000
"""How many files a process remembers as decoded, about 60 MiB: the runs of a sweep decode them once."""


@dataclass(frozen=True, kw_only=True)
class ImageRows(RowKind):
    """Images; a program receives a numpy array.

    Example:
        >>> from alchemist_exp.data.images.toy_birds import toy_birds
        >>> row = bird_rows(toy_birds(Split.TEST, 40, seed=0))[7]
        >>> rows = ImageRows()
        >>> rows.show(row), rows.extractor_input([row])[0].shape
        ('test/00007', (64, 64, 3))

    """

    name = "images"
    parameter = "image"
    annotation = ""
    modules = ("numpy",)
    extractor_input_type = "images"
    without_content = "Without a usable image"
    repeated = "Repeated images"
    repeats_by = "content"

    def fingerprint(self, rows: Iterable[str]) -> str:
        """Return a key of the contents; the places of files do not count."""
        return key_of("images", texts_fingerprint(json.loads(row)["key"] for row in rows))

    def is_empty(self, row: str) -> bool:
        """Return whether the file is not an image."""
        return not json.loads(row)["key"]

    def check(self, rows: Sequence[str], n_rows: int, where: str) -> None:
        """Check that most files are images."""
        if len(rows) < MIN_SHARE_OF_IMAGES * n_rows or not rows:
            raise DataError(
                f"{where}: {n_rows - len(rows):,} of {n_rows:,} files are not usable images; correct the path, or "
                "remove the other files."
            )

    def show(self, row: str, n_chars: int | None = None) -> str:
        """Return the name of the image."""
        return str(json.loads(row)["image"])

    def content(self, row: str) -> str:
        """Return the name of the image."""
        return self.show(row)

    def repeat_key(self, row: str) -> str:
        """Return the key of the content."""
        return str(json.loads(row)["key"])

    def exact_key(self, row: str) -> str:
        """Return the key of the content; the place of a file does not count."""
        return self.repeat_key(row)

    def extractor_input(self, rows: Sequence[str]) -> "LazyRows":
        """Return the images; each is decoded or drawn when it is asked for."""
        return LazyRows(rows=rows)

    def program_input(self, rows: Sequence[str]) -> "LazyRows":
        """Return the images; see `extractor_input`."""
        return LazyRows(rows=rows)

    def values(self, rows: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        """Return no columns: an image has none."""
        return {}

    def arrow_columns(self, rows: Sequence[str]) -> "Mapping[str, pa.Array]":
        """Return the column image with the names."""
        import pyarrow as pa

        return {"image": pa.array(map(self.show, rows), pa.large_string())}

    def parse(self, line: str) -> str:
        """Return the row of an image file; without content if the file is not an image.

        Args:
            line: The path of the file.

        Returns:
            The row.

        """
        return file_row(line, Path(line).expanduser().absolute())

    def reason_without_content(self, row: str) -> str:
        """Return why the file is not an image."""
        return reason_of(row)

    def parse_columns(self, part: TablePart, names: Sequence[str]) -> list[str]:
        """Return the images whose paths are in the only column, relative to the directory of the table or absolute.

        Args:
            part: See `RowKind.parse_columns`.
            names: The column of the paths.

        Returns:
            One row for each path; without content if there is no path, or the file is not an image.

        """
        directory, (name,) = part.file.parent.absolute(), names
        paths = [str(value or "") for value in part.columns[name]]
        return map_in_threads(lambda path: file_row(path, directory / path), paths)


@dataclass(frozen=True, kw_only=True, eq=False)
class LazyRows(Sequence[ImageArray]):
    """The images of rows. Each is decoded or drawn when it is asked for, and not kept.

    Attributes:
        rows: The rows, as `ImageRows` stores them.

    """

    rows: Sequence[str]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice) -> "LazyRows": ...
    def __getitem__(self, index: int | slice) -> "ImageArray | LazyRows":
        """Return an image, or a part of the images.

        Args:
            index: A position, or a slice.

        Returns:
            uint8 array of shape (height, width, 3), RGB; another sequence for a slice.

        Raises:
            DataError: The file has changed since it was checked.

        """
        return LazyRows(rows=self.rows[index]) if isinstance(index, slice) else pixels_of(self.rows[index])


def pixels_of(row: str) -> ImageArray:
    """Return the pixels of a row.

    Args:
        row: A row of `file_rows` or `bird_rows`.

    Returns:
        uint8 array of shape (height, width, 3), RGB.

    Raises:
        DataError: The file has changed since it was checked.

    """
    stored = json.loads(row)
    if "bird" in stored:
        return draw_row(Bird(**stored["bird"]), stored["seed"], Split(stored["split"]), stored["row"])
    image = decode(Path(stored["file"]))
    if image.pixels is None or image.key != stored["key"]:
        raise DataError(
            f"{stored['file']} has changed since this run has read it first; let no program write into the directory "
            "of the images, and run again."
        )
    return image.pixels


def bird_rows(birds: ToyBirds) -> list[str]:
    """Return the rows of drawn birds.

    Args:
        birds: The birds of a split.

    Returns:
        One row per bird; nothing is drawn.

    """
    place = {"seed": birds.seed, "split": birds.split.value}
    return [
        json.dumps({"image": f"{birds.split}/{row:05d}", "key": key, "bird": asdict(bird), **place, "row": row})
        for row, (bird, key) in enumerate(zip(birds.birds, birds.keys, strict=True))
    ]


def file_row(name: str, path: Path) -> str:
    """Return the row of a file, which is decoded once to find out whether it is an image.

    Args:
        name: What people see, for example the path relative to the dataset's directory.
        path: The absolute path of the file.

    Returns:
        The row; without content if the file is not an image.

    """
    try:
        stat = path.stat()
        key, reason = _check_file(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        key, reason = "", decode(path).reason
    # Paths may have bytes that are not UTF-8: JSON escapes them.
    return json.dumps({"image": name, "file": str(path), "key": key, "reason": reason})


@lru_cache(maxsize=_REMEMBERED_FILES)
def _check_file(path: Path, *version: int) -> tuple[str, str]:
    """Return the key of a file's content and the reason why it is not an image; `version` changes with the file."""
    image = decode(path)
    return image.key, image.reason


def file_rows(paths: Sequence[Path], root: Path) -> list[str]:
    """Return the rows of files, see `file_row`; several are decoded at the same time.

    Args:
        paths: Absolute paths.
        root: The directory that names are relative to.

    Returns:
        One row per path, in their order.

    """
    return map_in_threads(lambda path: file_row(image_name(path, root), path), paths)


def image_name(path: Path, root: Path) -> str:
    r"""Return what people see of a file: its path relative to a directory, or its absolute path outside of it.

    Args:
        path: An absolute path.
        root: The directory.

    Returns:
        The name; bytes that are not UTF-8 as escapes.

    Example:
        >>> image_name(Path("/photos/ants/1.jpg"), Path("/photos"))
        'ants/1.jpg'
        >>> print(image_name(Path("/photos/ants/\udce9.jpg"), Path("/photos")))
        ants/\xe9.jpg

    """
    name = path.relative_to(root) if path.is_relative_to(root) else path
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def reason_of(row: str) -> str:
    """Return why a row has no image; "" if it has one."""
    return str(json.loads(row).get("reason", ""))


def skipped_notes(rows: Mapping[Split, Sequence[str]]) -> list[str]:
    """Return a note on the reasons of files that are not images.

    Args:
        rows: The rows of each split.

    Returns:
        No note when every file is one.

    """
    names: dict[str, list[str]] = {}
    for of_split in rows.values():
        for row in of_split:
            if reason := reason_of(row):
                names.setdefault(reason, []).append(single_line(str(json.loads(row)["image"])))
    if not names:
        return []
    shown = sorted(names.items(), key=lambda item: -len(item[1]))[:_SHOWN_REASONS]
    listed = []
    for reason, files in shown:
        n_files = "" if len(files) <= _SHOWN_NAMES else f"{len(files):,}: "
        listed.append(f"{reason} ({n_files}{', '.join(files[:_SHOWN_NAMES])}{', ...' * bool(n_files)})")
    more = f"; and {len(names) - _SHOWN_REASONS} other reasons" if len(names) > _SHOWN_REASONS else ""
    total = sum(map(len, names.values()))
    return [f"Files that are not usable images ({total:,}): {'; '.join(listed)}{more}."]
