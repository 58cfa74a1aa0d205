"""The datasets of images: drawn birds, Waterbirds, and the user's own files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, DataError, require_packages
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import HubFiles
from alchemist_exp.data.images import waterbirds
from alchemist_exp.data.images.dataset import ImageDataset, ImageSplit, evenly_spaced, with_images
from alchemist_exp.data.images.image_files import EXTENSIONS, SplitImages, find_images
from alchemist_exp.data.images.image_table import read_image_table
from alchemist_exp.data.images.rows import bird_rows, file_rows, image_name
from alchemist_exp.data.images.toy_birds import BACKGROUNDS, CLASSES, COLORS, TRAITS, toy_birds
from alchemist_exp.data.readers import read_table
from alchemist_exp.data.split_files import require_encoding, require_path
from alchemist_exp.data.split_tables import SplitTable, SplitTables
from alchemist_exp.data.tables import TableDataset
from alchemist_exp.data.text_data import LABEL, Attribute, TextData

_NAMES: Final = "names of the images"
"""The column of the images in the tables of `ImageFilesDataset`; no column of a user is called so."""

_ONLY_FOR_TEXTS: Final = {
    "columns": None,
    "show_examples": False,
    "human_votes_column": None,
    "zero_shot_prompt": "[text]",
    "reviewed": None,
    "multi_label": False,
}
"""Keys of `TableDataset` that images do not have, and their values."""

_BIRD_ATTRIBUTES = {"background": BACKGROUNDS[:2], **TRAITS, "color": tuple(COLORS)}


@component("dataset", "toy_birds")
@dataclass(kw_only=True)
class ToyBirdsDataset(ImageDataset):
    """Drawn birds; scores on them are synthetic.

    Attributes:
        seed: The seed of the drawings.
        n_train: Number of training images.
        n_valid: Number of validation images.
        n_test: Number of test images.

    """

    seed: int = MISSING
    n_train: int = MISSING
    n_valid: int = MISSING
    n_test: int = MISSING

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is not possible.

        """
        super().__post_init__()
        if tuple(self.classes) != CLASSES:
            raise ConfigError(f"dataset.classes={list(self.classes)}; toy_birds has the classes {list(CLASSES)} only.")
        if self.seed < 0:
            raise ConfigError(f"dataset.seed={self.seed}; expected a whole number from 0.")
        for key in ("n_train", "n_valid", "n_test"):
            if not 2 <= (n := getattr(self, key)) <= 1_000_000:
                raise ConfigError(f"dataset.{key}={n}; expected a number of images from 2 to 1000000.")

    def load(self) -> TextData:
        """Return the three splits; the images are drawn when they are needed.

        Returns:
            All splits, labeled, with the background and the traits of each bird as attributes.

        Raises:
            ConfigError: The packages for images are not installed.

        """
        self.check()
        sizes = {Split.TRAIN: self.n_train, Split.VALID: self.n_valid, Split.TEST: self.n_test}
        splits = {}
        for split, n_rows in sizes.items():
            birds = toy_birds(split, n_rows, seed=self.seed)
            rows, chosen = bird_rows(birds), evenly_spaced(n_rows, self.limit)
            splits[split] = ImageSplit(
                rows=[rows[row] for row in chosen],
                labels=birds.labels[chosen].tolist(),
                attributes={
                    name: [values.index(getattr(birds.birds[row], name)) for row in chosen]
                    for name, values in _BIRD_ATTRIBUTES.items()
                },
                input_rows=chosen,
            )
        return self.to_data(
            splits,
            attributes=_BIRD_ATTRIBUTES,
            group_attribute="background",
            notes=[
                "The images are drawn (synthetic): these scores show that the code works, and nothing about photos."
            ],
        )


@component("dataset", "waterbirds")
@dataclass(kw_only=True)
class WaterbirdsDataset(ImageDataset):
    """Photos of birds on other backgrounds, in the directory that group_DRO publishes (paper, Table 2).

    Attributes:
        path: The directory with metadata.csv.
        hub: Where scripts/prepare_data.py can download the images; a run reads `path` only.

    """

    path: str = MISSING
    hub: HubFiles | None = MISSING

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is not possible.

        """
        super().__post_init__()
        if tuple(self.classes) != waterbirds.CLASSES:
            raise ConfigError(
                f"dataset.classes={list(self.classes)}; waterbirds has the classes {list(waterbirds.CLASSES)} only."
            )

    def check(self) -> None:
        """Check that the packages are installed and metadata.csv exists.

        Raises:
            AlchemistError: They are not, or it does not.

        """
        super().check()
        waterbirds.require_metadata(self.root)

    @property
    def root(self) -> Path:
        """The directory that is read."""
        return resolve_user_path(self.path, "dataset.path")

    def load(self) -> TextData:
        """Read metadata.csv, and decode each image once to find those that cannot be used.

        Returns:
            The splits of the metadata, labeled, with the background as attribute.

        Raises:
            DataError: metadata.csv is missing or broken, or most images cannot be used.

        """
        self.check()
        root = self.root
        splits = {}
        for split, found in waterbirds.read_metadata(root).splits.items():
            chosen = evenly_spaced(len(found.paths), self.limit)
            splits[split] = ImageSplit(
                rows=file_rows([found.paths[row] for row in chosen], root),
                labels=found.labels[chosen].tolist(),
                attributes={"background": found.places[chosen].tolist()},
                input_rows=found.rows[chosen].tolist(),
            )
        return self.to_data(
            splits,
            attributes={"background": waterbirds.PLACES},
            group_attribute="background",
            files=dict.fromkeys(splits, str(root / waterbirds.METADATA)),
        )


@component("dataset", "image_files")
@dataclass(kw_only=True)
class ImageFilesDataset(TableDataset):
    """The user's own images: a directory per class, or a table with the path of an image in each row.

    Labels, splits and held-out rows are read as for tables of texts.

    Attributes:
        path: The directory, or the table.
        encoding: The encoding of a CSV, TSV or JSONL table; None for UTF-8, or what its byte order mark says.
        path_column: The column of the paths, which are relative to the table's directory.
        group_column: The column of the groups, of which the worst counts; None for none.
        split_column: The column of the splits; None if all rows are train.

    """

    images: ClassVar[bool] = True
    content: ClassVar[str] = "an image"

    path: str = MISSING
    encoding: str | None = MISSING
    path_column: str = MISSING
    group_column: str | None = MISSING
    split_column: str | None = MISSING
    # Values for texts, which have no meaning for images.
    zero_shot_prompt: str = "[text]"
    text_column: str = _NAMES
    human_votes_column: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is not possible.

        """
        for key, default in _ONLY_FOR_TEXTS.items():
            if getattr(self, key) != default:
                raise ConfigError(f"dataset.{key} is for rows of texts, and these rows are images; leave it out.")
        if self.text_column != _NAMES:
            raise ConfigError(
                f"dataset.text_column={self.text_column} is for rows of texts; name the column of the paths of images "
                "by dataset.path_column."
            )
        if self.encoding is not None:
            require_encoding(self.encoding)
        super().__post_init__()
        names = [self.path_column, self.label_column, self.group_column, self.split_column]
        given = [name for name in names if name is not None]
        if len(set(given)) < len(given):
            raise ConfigError(
                f"dataset.path_column, label_column, group_column and split_column are {', '.join(map(repr, given))}; "
                "name different columns."
            )

    @property
    def root(self) -> Path:
        """The directory or table that is read."""
        return resolve_user_path(self.path, "dataset.path")

    def check(self) -> None:
        """Check that the packages are installed and the directory or table exists.

        Raises:
            AlchemistError: They are not, or it does not.

        """
        require_packages(f"dataset={self.name}", "images", "PIL")
        require_path(self.root, self.name)
        if self.root.suffix.lower() in EXTENSIONS and self.root.is_file():
            raise DataError(
                f"dataset.path={self.root} is one image; set it to the directory of the images, or to a table with "
                "their paths."
            )

    def take(self, rows: list[int]) -> list[int]:
        """Return the rows of a split that are loaded: `limit` evenly spaced ones."""
        return [rows[number] for number in evenly_spaced(len(rows), self.limit)]

    def cache_key(self) -> dict[str, object]:
        """Return every value that alters more than the rows, which count by their fingerprint."""
        return {name: value for name, value in super().cache_key().items() if name != "encoding"}

    def read(self) -> SplitTables:
        """Find the images; none is opened.

        Returns:
            The splits, with the name of each image, its label and its group.

        Raises:
            DataError: There are no images, or the table cannot be read.

        """
        root = self.root
        if root.is_dir():
            for key in ("group_column", "split_column"):
                if (column := getattr(self, key)) is not None:
                    raise DataError(
                        f"dataset.{key}={column} names a column of a table, and dataset.path={root} is a directory; "
                        f"set dataset.path to a table, or dataset.{key}=null."
                    )
            self._found, self._directory = find_images(root), root.absolute()
        else:
            label_column = self.label_column
            if label_column == LABEL:  # the default, which a table of unlabeled images does not have
                columns = read_table(root, wanted=(self.path_column,), encoding=self.encoding).columns
                label_column = LABEL if LABEL in columns else None
            self._found = read_image_table(
                root,
                path_column=self.path_column,
                label_column=label_column,
                group_column=self.group_column,
                split_column=self.split_column,
                encoding=self.encoding,
            )
            self._directory = root.parent.absolute()
        found = self._found.splits
        has_labels = any(label is not None for images in found.values() for label in images.labels)
        return SplitTables(
            splits={split: self._table(split, images, has_labels) for split, images in found.items()},
            notes=self._found.notes,
        )

    def _table(self, split: Split, images: SplitImages, has_labels: bool) -> SplitTable:
        columns: dict[str, list[Any]] = {name: list(values) for name, values in images.other_columns.items()}
        columns[self.text_column] = [image_name(path, self._directory) for path in images.paths]
        if self.label_column is not None and has_labels:
            columns[self.label_column] = list(images.labels)
        if self.group_column is not None:
            if None in images.groups:
                row = images.input_rows[images.groups.index(None)] + 1
                raise DataError(
                    f"{self.root}: row {row} has no group in the column {self.group_column!r}; fill it, or set "
                    "dataset.group_column=null."
                )
            columns[self.group_column] = list(images.groups)
        where = str(self.root) if self.split_column is None else f"{self.root} ({split})"
        return SplitTable(where=where, columns=columns)

    def load(self) -> TextData:
        """Find the images, and decode each once to find those that cannot be used.

        Returns:
            The splits, with the groups as attribute.

        Raises:
            DataError: There are no images, or the labels do not fit the configuration.

        """
        self.check()
        data, found = super().load(), self._found.splits
        rows, input_rows = {}, {}
        for split in data.splits:
            # Without splits in the source, all rows are of its train.
            images, numbers = found.get(split, found[Split.TRAIN]), data.rows_of_input(split)
            rows[split] = file_rows([images.paths[number] for number in numbers], self._directory)
            if images.input_rows:
                input_rows[split] = np.array(images.input_rows)[numbers]
        data = replace(with_images(data, rows), input_rows=input_rows or data.input_rows)
        if self.group_column is None:
            return data
        groups = {split: data.other_columns[split][self.group_column].to_pylist() for split in data.splits}
        values = sorted({group for of_split in groups.values() for group in of_split})
        attribute = Attribute(
            values=tuple(values),
            of_rows={split: np.array([values.index(g) for g in of_split]) for split, of_split in groups.items()},
        )
        return replace(data, attributes={self.group_column: attribute}, group_attribute=self.group_column)
