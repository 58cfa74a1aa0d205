"""The base class of datasets of images."""

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from alchemist_exp.core.errors import DataError, require_packages
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import Dataset
from alchemist_exp.data.images.rows import ImageRows, skipped_notes
from alchemist_exp.data.text_data import LABEL, TEXT, Attribute, TextData


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSplit:
    """The images of one split.

    Attributes:
        rows: The images, as `ImageRows` stores them.
        labels: The class index of each row; None for an unlabeled split.
        attributes: The index of each row's value, by attribute.
        input_rows: Row numbers in the input, from 0, see `TextData`; None if the rows are those of the input.

    """

    rows: Sequence[str]
    labels: Sequence[int] | None = None
    attributes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    input_rows: Sequence[int] | None = None


def evenly_spaced(n_rows: int, limit: int | None) -> list[int]:
    """Return the numbers of at most `limit` rows, evenly spaced, because files are often sorted by class.

    Args:
        n_rows: Number of rows.
        limit: Largest number of rows; None for all.

    Returns:
        Row numbers in ascending order.

    Example:
        >>> evenly_spaced(10, 4)
        [0, 3, 6, 9]

    """
    rows = np.linspace(0, n_rows - 1, n_rows if limit is None else min(limit, n_rows))
    return [int(row) for row in rows]


@dataclass(kw_only=True)
class ImageDataset(Dataset, ABC):
    """A dataset of images, which are not sent to an LLM. `limit` takes evenly spaced rows."""

    images: ClassVar[bool] = True

    zero_shot_prompt: str = "[text]"  # not used: images are not sent to an LLM

    def check(self) -> None:
        """Check that the packages for images are installed.

        Raises:
            ConfigError: They are not.

        """
        require_packages(f"dataset={self.name}", "images", "PIL")

    def to_data(
        self,
        splits: Mapping[Split, ImageSplit],
        *,
        attributes: Mapping[str, Sequence[str]],
        group_attribute: str | None,
        notes: Sequence[str] = (),
        files: Mapping[Split, str] | None = None,
    ) -> TextData:
        """Return the loaded dataset.

        Args:
            splits: The images of each split, train at least.
            attributes: The names of each attribute's values; every split has its indices.
            group_attribute: See `TextData`.
            notes: What a reader of the results should know, one sentence each.
            files: What the images of each split are from, for messages.

        Returns:
            The dataset.

        Raises:
            DataError: There are no training images.

        """
        import datasets

        if Split.TRAIN not in splits or not splits[Split.TRAIN].rows:
            raise DataError(f"dataset={self.name} has no training images; correct dataset.path.")
        types = {TEXT: datasets.Value("string"), LABEL: datasets.ClassLabel(names=self.classes)}
        table = datasets.DatasetDict()
        for split, images in splits.items():
            columns: dict[str, Any] = {TEXT: list(images.rows)}
            if images.labels is not None:
                columns[LABEL] = list(images.labels)
            features = datasets.Features({name: types[name] for name in columns})
            table[str(split)] = datasets.Dataset.from_dict(columns, features=features)
        kind = ImageRows()
        return TextData(
            task=replace(self.describe_task(), parameter=kind.parameter, annotation=kind.annotation),
            table=table,
            kind=kind,
            notes=(*notes, *skipped_notes({split: images.rows for split, images in splits.items()})),
            files=files or {},
            attributes={
                name: Attribute(
                    values=tuple(values),
                    of_rows={split: np.array(images.attributes[name]) for split, images in splits.items()},
                )
                for name, values in attributes.items()
            },
            group_attribute=group_attribute,
            input_rows={
                split: np.array(images.input_rows) for split, images in splits.items() if images.input_rows is not None
            },
        )


def with_images(data: TextData, rows: Mapping[Split, Sequence[str]]) -> TextData:
    """Return a dataset whose texts are replaced by images.

    Args:
        data: A dataset of texts.
        rows: By split, one image for each text, as `ImageRows` stores them.

    Returns:
        The same dataset with other rows.

    """
    import datasets

    table = datasets.DatasetDict()
    for split in data.splits:
        part, columns = data.table[split], {TEXT: list(rows[split])}
        if LABEL in part.column_names:
            columns[LABEL] = part[LABEL][:]
        features = datasets.Features({name: part.features[name] for name in columns})
        table[str(split)] = datasets.Dataset.from_dict(columns, features=features)
    kind = ImageRows()
    task = replace(data.task, parameter=kind.parameter, annotation=kind.annotation)
    return replace(data, task=task, table=table, kind=kind, notes=(*data.notes, *skipped_notes(rows)))
