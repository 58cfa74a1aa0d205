"""Features of the columns of records that are not text: numbers, booleans and categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.types import FloatArray, read_only

COLUMNS_FILE: Final = "columns.json"

MAX_STANDARD_DEVIATIONS: Final = 5.0
"""Numbers that are further from the mean are cut off, so that no outlier decides a prediction."""


@dataclass(frozen=True, kw_only=True)
class ColumnFeatures:
    """What is learned from the columns of train, without labels.

    Attributes:
        numbers: By column, the mean and the standard deviation of its numbers.
        categories: By column, its strings on train; each has a feature, and another string has none.

    Example:
        >>> fitted = ColumnFeatures.fit({"price": [1, 3, None], "color": ["red", "blue", "red"]})
        >>> fitted.transform({"price": [3, None], "color": ["red", "green"]}).tolist()
        [[1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]]

    """

    numbers: Mapping[str, tuple[float, float]]
    categories: Mapping[str, Sequence[str]]

    @classmethod
    def fit(cls, columns: Mapping[str, Sequence[Any]]) -> Self:
        """Learn from the columns of the training split.

        Args:
            columns: Numbers and booleans, or strings; None is a missing value.

        Returns:
            The fitted features.

        """
        numbers, categories = {}, {}
        for name, values in columns.items():
            known = [value for value in values if value is not None]
            if known and isinstance(known[0], str):
                categories[name] = sorted(set(known))
            else:
                array = np.array(known, np.float64) if known else np.zeros(1)
                numbers[name] = (float(array.mean()), float(array.std()))
        return cls(numbers=numbers, categories=categories)

    def transform(self, columns: Mapping[str, Sequence[Any]]) -> FloatArray:
        """Return the features of rows.

        Args:
            columns: The same columns, each with one value per row.

        Returns:
            Read-only float32 array of shape (n_rows, n_features): each number's distance from the mean in standard
            deviations, 0 or 1 for each category, and whether a value is missing for each column.

        """
        n_rows = max(map(len, columns.values()), default=0)
        features = []
        for name, (mean, deviation) in self.numbers.items():
            numbers = np.array([np.nan if value is None else value for value in columns[name]], np.float64)
            scaled = (numbers - mean) / (deviation or 1.0)
            features.append(np.nan_to_num(scaled.clip(-MAX_STANDARD_DEVIATIONS, MAX_STANDARD_DEVIATIONS)))
            features.append(np.isnan(numbers))
        for name, known in self.categories.items():
            features += [[value == category for value in columns[name]] for category in known]
            features.append([value is None for value in columns[name]])
        return read_only(np.array(features, np.float32).reshape(len(features), n_rows).T, np.float32)

    def append_to(self, features: FloatArray, columns: Mapping[str, Sequence[Any]]) -> FloatArray:
        """Return the features of an extractor, followed by those of the columns if there are any."""
        return np.hstack([features, self.transform(columns)]) if columns else features

    def save(self, directory: Path) -> None:
        """Write columns.json if there are such columns."""
        if self.numbers or self.categories:
            write_json(directory / COLUMNS_FILE, {"numbers": dict(self.numbers), "categories": dict(self.categories)})

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Restore what `save` wrote.

        Args:
            directory: Where `save` wrote the file; without one there are no such features.

        Returns:
            The fitted features.

        Raises:
            StoreError: The file is broken.

        """
        path = directory / COLUMNS_FILE
        if not path.exists():
            return cls(numbers={}, categories={})
        stored = read_json(path, what="the fitted columns")
        try:
            numbers = {name: (float(mean), float(deviation)) for name, (mean, deviation) in stored["numbers"].items()}
            categories = {name: list(map(str, known)) for name, known in stored["categories"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path} is broken; run the experiment again with force=true.") from error
        return cls(numbers=numbers, categories=categories)
