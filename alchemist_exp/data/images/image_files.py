"""Find image files and their splits and classes in directories. No file is opened."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import Split
from alchemist_exp.data.split_files import SPLIT_FILE_NAMES

EXTENSIONS: Final = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""The extensions of files that are taken for images, in any case; whether they are is found when they are decoded."""

SPLIT_OF_NAME: Final = {name: split for split, names in SPLIT_FILE_NAMES.items() for name in names}
"""The split that a name in lower case stands for."""


@dataclass(frozen=True, kw_only=True)
class SplitImages:
    """The image files of one split.

    Attributes:
        paths: The absolute path of each file.
        labels: The class name of each file; None where there is no label.
        groups: The group name of each file; None where there is no group.
        other_columns: The other columns of a table, by name.
        input_rows: Row numbers in the table, from 0; empty for a directory.

    """

    paths: tuple[Path, ...]
    labels: tuple[str | None, ...]
    groups: tuple[str | None, ...]
    other_columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    input_rows: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FoundImages:
    """The image files of all splits.

    Attributes:
        splits: The files of each split that has any; train is always one of them.
        notes: What the user should know, one sentence each.

    """

    splits: Mapping[Split, SplitImages]
    notes: tuple[str, ...] = ()


def find_images(path: Path) -> FoundImages:
    """Find the image files of a directory.

    Args:
        path: A directory of images without labels; or with one directory per class; or with the directories train,
            valid and test (or another name of `SPLIT_FILE_NAMES`), each of one of these two kinds. Images may be in
            deeper directories of a class. Links to directories are followed.

    Returns:
        The files of each split, sorted by their paths (by code point). A class name is the name of the directory in
        Unicode's form NFC, without surrounding spaces. Without directories of splits, all files are train. Notes name
        files that have no extension of an image, empty directories, and classes that only some splits have.

    Raises:
        DataError: There are no images, or no training split, or a directory cannot be read, is a link to one above it,
            or has images next to classes; or the names of classes differ in case or spaces only.

    """
    search = _Search(root=path.absolute())
    content = search.read(search.root)
    by_split = search.split_directories(content)
    if by_split:
        found = {split: search.labeled(by_split[split]) for split in SPLIT_FILE_NAMES if split in by_split}
    else:
        found = {Split.TRAIN: search.labeled(search.root, content)}
    if not found[Split.TRAIN].paths:
        has = f" (it has {_first(search.left_out)})" if search.left_out else ""
        raise DataError(
            f"{by_split.get(Split.TRAIN, search.root)} has no images{has}; expected one directory per class, or image "
            f"files, with one of the extensions {', '.join(sorted(EXTENSIONS))}."
        )
    splits = {split: images for split, images in found.items() if images.paths}
    classes = {split: {label for label in each.labels if label is not None} for split, each in splits.items()}
    whole = set().union(*classes.values())
    notes = [
        f"{split} has no images of {_first(sorted(map(repr, whole - of_split)))}, which other splits have; check the "
        "names of the directories if that is not meant."
        for split, of_split in classes.items()
        if of_split and of_split < whole
    ]
    return FoundImages(splits=splits, notes=(*search.notes(), *notes))


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What is directly in a directory, in the order of the names; hidden files are left out."""

    directories: tuple[Path, ...]
    images: tuple[Path, ...]


@dataclass(kw_only=True)
class _Search:
    """Reads the directories below a root, and collects what is not used.

    Attributes:
        root: The absolute path of the dataset's directory.
        left_out: What is hidden, or has no extension of an image, or is next to the splits; relative to the root.
        empty: Directories without images, relative to the root.
        class_directories: The first directory of each class, by its name without case.

    """

    root: Path
    left_out: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    class_directories: dict[str, Path] = field(default_factory=dict)

    def read(self, directory: Path) -> _Content:
        """Return what is in a directory."""
        try:
            with os.scandir(directory) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            raise DataError(
                f"{str(directory)[:300]!r} cannot be read as a directory of images "
                f"({getattr(error, 'strerror', None) or error}); name a directory that exists and may be read."
            ) from error
        directories: list[Path] = []
        images: list[Path] = []
        for entry in entries:
            path = directory / entry.name
            try:
                is_directory = entry.is_dir()
            except OSError:  # a link to itself
                is_directory = False
            if entry.name.startswith(".") or not (is_directory or path.suffix.lower() in EXTENSIONS):
                self.left_out.append(self._shown(path) + ("/" if is_directory else ""))
            else:
                (directories if is_directory else images).append(path)
        return _Content(directories=tuple(directories), images=tuple(images))

    def split_directories(self, content: _Content) -> dict[Split, Path]:
        """Return the directories of splits in the root, none if it has no splits."""
        found: dict[Split, Path] = {}
        others = []
        for directory in content.directories:
            if (split := SPLIT_OF_NAME.get(directory.name.casefold())) is None:
                others.append(directory)
            elif split in found:
                raise DataError(
                    f"{self.root} has {found[split].name!r} and {directory.name!r} for the split {split}; keep one."
                )
            else:
                found[split] = directory
        if not found:
            return {}
        shown = ", ".join(repr(directory.name) for directory in found.values())
        for directory in others:
            if self.below(directory):
                raise DataError(
                    f"{self.root} has directories of splits ({shown}) and {directory.name!r}, which has images too; "
                    "move it away, or rename the first if they are classes."
                )
            self.left_out.append(self._shown(directory) + "/")
        if Split.TRAIN not in found:
            raise DataError(
                f"{self.root} has {shown} but no directory 'train'; add it. Its images may be without labels."
            )
        self.left_out += map(self._shown, content.images)
        return found

    def labeled(self, directory: Path, content: _Content | None = None) -> SplitImages:
        """Return the images of a split: those of its class directories, or those that are directly in it."""
        content = content or self.read(directory)
        labeled: list[tuple[Path, str | None]] = []
        for class_directory in content.directories:
            if paths := self.below(class_directory):
                label = self._class_name(class_directory)
                labeled += [(path, label) for path in paths]
            else:
                self.empty.append(self._shown(class_directory))
        if labeled and content.images:
            raise DataError(
                f"{directory} has images next to directories of images ({content.images[0].name!r} and "
                f"{labeled[0][0].relative_to(directory).parts[0]!r} are the first); move each into the directory of "
                "its class, or move the directories away if the images have no labels."
            )
        inner = {path.relative_to(directory).parts[:2] for path, _ in labeled}
        if len({label for _, label in labeled}) == 1 and all(name.casefold() in SPLIT_OF_NAME for _, name in inner):
            below = directory / next(iter(inner))[0]
            raise DataError(f"{directory} has only images of {below}, which has splits; set dataset.path={below}.")
        if not labeled and not content.images:
            self.empty.append(self._shown(directory))
        rows = labeled or [(path, None) for path in content.images]
        return SplitImages(
            paths=tuple(path for path, _ in rows),
            labels=tuple(label for _, label in rows),
            groups=(None,) * len(rows),
        )

    def below(self, directory: Path) -> list[Path]:
        """Return all images in a directory and in the directories in it, sorted by the parts of their paths."""
        images: list[Path] = []
        pending = [(directory, frozenset[Path]({self.root.resolve(), directory.parent.resolve()}))]
        while pending:
            current, above = pending.pop()
            if (resolved := current.resolve()) in above:
                raise DataError(f"{current} is a link to {resolved}, a directory above it; remove the link.")
            content = self.read(current)
            images += content.images
            pending += [(inner, above | {resolved}) for inner in content.directories]
        return sorted(images, key=lambda path: path.parts)

    def _class_name(self, directory: Path) -> str:
        """Return the class name that a directory stands for."""
        name = unicodedata.normalize("NFC", directory.name).strip()
        if not name or not name.isprintable():
            raise DataError(
                f"the directory {directory.name!r} in {directory.parent} cannot be the name of a class; rename it."
            )
        first = self.class_directories.setdefault(name.casefold(), directory)
        if first.name != directory.name:
            raise DataError(
                f"the directories {str(first)!r} and {str(directory)!r} differ only in case, spaces or the encoding of "
                "a letter; give them equal names if they are one class, and clearly different names if not."
            )
        return name

    def _shown(self, path: Path) -> str:
        return single_line(str(path.relative_to(self.root)))

    def notes(self) -> list[str]:
        """Return a note on what is left out, and one on empty directories."""
        notes = []
        if self.left_out:
            notes.append(
                f"Not read from {self.root} ({len(self.left_out):,}): {_first(self.left_out)}. Images have an "
                "extension such as .jpg or .png, and are in the directories of splits and classes."
            )
        if self.empty:
            notes.append(f"Directories of {self.root} without images are left out: {_first(self.empty)}.")
        return notes


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
