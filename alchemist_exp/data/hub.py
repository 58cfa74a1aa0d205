"""Datasets of the Hugging Face Hub, read by the library `datasets`.

Where the Hub is, and with which token it is asked, is only in the environment variables of that library (HF_ENDPOINT,
HF_TOKEN, HF_HUB_OFFLINE, HF_HOME).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.overrides import typed
from alchemist_exp.core.types import Split
from alchemist_exp.data.hub_errors import DATASET_KEYS, explain_hub_error
from alchemist_exp.data.label_column import is_missing
from alchemist_exp.data.split_files import SPLIT_FILE_NAMES
from alchemist_exp.data.split_tables import SplitTable, SplitTables
from alchemist_exp.data.tables import TableDataset
from alchemist_exp.data.text_data import LABEL, TEXT

TEXT_NAMES = ("sentence", "content", "review", "comment", "tweet", "document", "body", "message", "utterance")
"""Where a dataset has several columns of strings and none is called text, the one with such a name has the texts."""

LABEL_NAME = re.compile(r"(.*_)?(label|labels|category|class|target|sentiment|intent|topic)", re.IGNORECASE)
"""Where no column is called label and none has class names, the one with such a name has the labels."""

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", re.ASCII)


@component("dataset", "hub")
@dataclass(kw_only=True)
class HubDataset(TableDataset):
    """A text classification dataset of the Hugging Face Hub.

    With `limit`, only the first rows of each split are downloaded.

    Attributes:
        repo: The dataset's repository: owner/name, or the name of an old one.
        config: The configuration (subset) of the repository; None if it has only one.
        revision: A branch, tag or commit; None for the main branch. The record has the commit.

    """

    repo: str = MISSING
    config: str | None = MISSING
    revision: str | None = MISSING

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is not possible.

        """
        super().__post_init__()
        if not REPOSITORY.fullmatch(self.repo):
            raise ConfigError(
                f"dataset.repo={self.repo!r} is not a repository of the Hugging Face Hub; expected owner/name, as in "
                "dataset.repo=fancyzhx/ag_news."
            )
        if Path(self.repo).exists():
            raise ConfigError(
                f"dataset.repo={self.repo!r} is a local file or directory, which would be read instead of the Hub; "
                "run in another directory, or use dataset=files dataset.path=..."
            )

    def read(self) -> SplitTables:
        """Download the splits, or read them from the local cache of the Hub.

        Returns:
            The splits that are called train, validation (or valid, val, dev, eval) and test.

        Raises:
            DataError: The Hub cannot be reached, or does not have such a dataset.

        """
        # Everything is imported first: an error below is an error of the Hub.
        import datasets
        from huggingface_hub import HfApi

        offline = datasets.config.HF_HUB_OFFLINE
        try:
            # A branch moves, so its present commit is read and recorded.
            commit = self.revision if offline else HfApi().dataset_info(self.repo, revision=self.revision or "main").sha
            streaming = self.limit is not None and not offline
            found = datasets.load_dataset(self.repo, self.config, revision=commit, streaming=streaming)
            present = set(map(str, found))
            names = {split: next((n for n in SPLIT_FILE_NAMES[split] if n in present), None) for split in Split}
            rows = {split: _columns(found[name], self.limit) for split, name in names.items() if name is not None}
        except Exception as error:  # the libraries raise the errors of several HTTP clients and file formats
            raise DataError(explain_hub_error(error, self.repo, self.revision, self.config, DATASET_KEYS)) from error
        if Split.TRAIN not in rows:
            raise DataError(f"{self.repo} has no split train; it has {', '.join(map(str, found))}.")
        features = {split: found[str(names[split])].features or {} for split in rows}
        columns, features_of_train = rows[Split.TRAIN], features[Split.TRAIN]
        text = self._text_column(columns) if self.columns is None else None
        label = self._label_column(columns, features_of_train, text)
        origin = f"{self.repo}@{commit or 'the cached revision'}"
        return SplitTables(
            splits={
                split: self._table(f"{origin}, {names[split]}", rows[split], features[split], text, label)
                for split in rows
            },
            notes=self._notes(found, names, text, label),
            origin=origin,
        )

    def _table(
        self,
        where: str,
        columns: Mapping[str, list[Any]],
        features: Mapping[str, Any],
        text: str | None,
        label: str | None,
    ) -> SplitTable:
        """Return the rows and labels of a split, under the names of the configuration."""
        kept = {name: values for name, values in columns.items() if name not in (text, label)}
        if text is not None:
            kept[self.text_column] = columns.get(text, [])
        class_names = {
            name: tuple(map(str, found)) for name in self.columns or () if (found := _class_names(features, name))
        }
        if self.label_column and label and label in columns:
            kept[self.label_column] = columns[label]
            if names := self._label_names(features, label):
                class_names[self.label_column] = tuple(map(str, names))
        return SplitTable(where=where, columns=kept, class_names=class_names)

    def _text_column(self, columns: Mapping[str, list[Any]]) -> str:
        if self.text_column in columns:
            return self.text_column
        strings = [
            name
            for name, values in columns.items()
            if name != self.label_column
            and any(isinstance(value, str) for value in values)
            and all(isinstance(value, str) or is_missing(value) for value in values)
        ]
        found = strings if len(strings) == 1 else [name for name in TEXT_NAMES if name in strings]
        if self.text_column != TEXT or len(found) != 1:
            several = f"; for rows of several columns, set {typed('dataset.columns', strings)}"
            raise DataError(
                f"{self.repo} has no column {self.text_column!r}; set dataset.text_column to the column of the texts: "
                f"{', '.join(strings) or 'none has strings'} (all columns: {', '.join(columns)})"
                f"{several if len(strings) > 1 else ''}."
            )
        return found[0]

    def _label_column(
        self, columns: Mapping[str, list[Any]], features: Mapping[str, Any], text: str | None
    ) -> str | None:
        if self.label_column is None or self.label_column in columns:
            return self.label_column
        others = [name for name in columns if name != text and name not in (self.columns or ())]
        named = [name for name in others if self._label_names(features, name)]
        found = named or [name for name in others if LABEL_NAME.fullmatch(name)]
        if len(found) > 1 or self.label_column != LABEL:
            raise DataError(
                f"{self.repo} has no column {self.label_column!r}; set dataset.label_column to the column of the "
                f"labels{': ' + ' or '.join(found) if found else ''} (all columns: {', '.join(columns)})."
            )
        if not found and not self.classes:
            raise DataError(
                f"{self.repo} has no column with labels, so dataset.classes must be given, as in "
                f"'dataset.classes=[ham,spam]'; or set dataset.label_column to one of {', '.join(columns)}."
            )
        return found[0] if found else None

    def _label_names(self, features: Mapping[str, Any], name: str) -> Sequence[str] | None:
        """Return the class names of a column that may have the labels; with multi_label also of a list of indices."""
        of_lists = {key: getattr(feature, "feature", None) for key, feature in features.items()}
        return _class_names(features, name) or (_class_names(of_lists, name) if self.multi_label else None)

    def _notes(
        self, found: Iterable[object], names: Mapping[Split, str | None], text: str | None, label: str | None
    ) -> tuple[str, ...]:
        notes = []
        if text is None:
            if label and label != self.label_column:
                notes.append(f"The labels are from the column {label!r}.")
        elif text != self.text_column or label != self.label_column:
            labels = f"the labels from {label!r}" if label else "there are no labels"
            notes.append(f"The texts are from the column {text!r}, {labels}.")
        if unused := [str(split) for split in found if str(split) not in names.values()]:
            notes.append(f"Splits of {self.repo} that are not read: {', '.join(unused)}.")
        return tuple(notes)


def _columns(rows: Any, limit: int | None) -> dict[str, list[Any]]:
    """Return the columns of a split, of the first rows only if there is a limit."""
    if limit is not None:
        taken = list(rows.take(limit))
        return {name: [row.get(name) for row in taken] for name in dict.fromkeys(key for row in taken for key in row)}
    return {name: rows[name][:] for name in rows.column_names}


def _class_names(features: Mapping[str, Any], name: str) -> Sequence[str] | None:
    """Return the class names of a column of class indices, None if it is of another type."""
    return getattr(features.get(name), "names", None)
