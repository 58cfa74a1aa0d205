"""Datasets whose rows are in tables with a text column and, where rows are labeled, a label column."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.label_sets import MAX_SET_CLASSES, SEPARATOR
from alchemist_exp.core.types import MAX_CLASSES, Split
from alchemist_exp.data.base import Dataset
from alchemist_exp.data.class_names import infer_classes, numbered
from alchemist_exp.data.hold_out import divide_rows
from alchemist_exp.data.label_column import LabelColumn, LabelReading
from alchemist_exp.data.labels import check_votes, read_labels, without_secret_labels
from alchemist_exp.data.other_columns import other_columns, unify_types
from alchemist_exp.data.readers import is_untyped
from alchemist_exp.data.record_columns import RecordTable, describe_columns, read_records
from alchemist_exp.data.records import RecordRows
from alchemist_exp.data.reviewed import read_reviewed
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.data.set_labels import masks_by_split, split_labels, strata_of
from alchemist_exp.data.split_tables import SplitTable, SplitTables, check_label_column, check_row_columns
from alchemist_exp.data.text_data import HUMAN_VOTES, LABEL, TEXT, TextData
from alchemist_exp.data.text_rows import TextRows
from alchemist_exp.data.texts import as_text

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import DatasetDict


@dataclass(kw_only=True)
class TableDataset(Dataset, ABC):
    """A dataset that is read from tables: class names, labels and splits are found in the same way for every source.

    Attributes:
        text_column: The column of the texts.
        label_column: The column of the gold labels; None for no labels.
        labels: Whether labels are class names or class indices.
        test_share: The share of the labeled rows that become test, if the source has no splits.
        human_votes_column: The column with a list of votes per row, where -1 means abstain; None for none.
        columns: The columns of a record; None for rows that are texts.
        show_examples: Whether prompts show two values of each of `columns`.
        fit_rows: The most rows of train that features, label model and end model are fitted on; None for no limit.
        reviewed: A file with labels that a person gave to rows of train; None for none.
        multi_label: Whether the labels of a row are a list of classes.

    Example:
        >>> @dataclass(kw_only=True)
        ... class Greetings(TableDataset):
        ...     def read(self):
        ...         rows = {"text": ["hello", "win a prize"], "label": ["ham", "Spam "]}
        ...         return SplitTables(splits={Split.TRAIN: SplitTable(where="greetings", columns=rows)})
        >>> dataset = Greetings(
        ...     name="greetings",
        ...     classes=["ham", "spam"],
        ...     prompt="Label messages as ham or spam.",
        ...     subject="message",
        ...     relation="is",
        ...     zero_shot_prompt="Is this ham or spam: [text]",
        ...     metric="accuracy",
        ...     positive_class=None,
        ...     limit=None,
        ...     license="CC0",
        ...     text_column="text",
        ...     label_column="label",
        ...     labels="auto",
        ...     test_share=0,
        ...     human_votes_column=None,
        ... )
        >>> dataset.load().gold(Split.TRAIN).tolist()
        [0, 1]

    """

    infers_classes: ClassVar[bool] = True
    content: ClassVar[str] = "a text"
    """What a row has that is not empty, for messages."""

    text_column: str = MISSING
    label_column: str | None = MISSING
    labels: LabelReading = MISSING
    test_share: float = MISSING
    human_votes_column: str | None = MISSING
    columns: list[str] | None = None
    show_examples: bool = False
    fit_rows: int | None = None
    reviewed: str | None = None
    multi_label: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is not possible.

        """
        super().__post_init__()
        self._classes_given = bool(self.classes)
        if not 0 <= self.test_share < 1:
            raise ConfigError(
                f"dataset.test_share={self.test_share:g}; expected a share of the labeled rows from 0 to less than 1."
            )
        if self.label_column == self.text_column:
            raise ConfigError(
                f"dataset.label_column and dataset.text_column are both {self.text_column!r}; name two columns."
            )
        if self.fit_rows is not None and self.fit_rows < 1:
            raise ConfigError(f"dataset.fit_rows={self.fit_rows}; expected a number of rows from 1, or null for all.")
        self._check_record_columns()

    def _check_record_columns(self) -> None:
        if self.columns is None:
            if self.show_examples:
                raise ConfigError(
                    "dataset.show_examples=true shows values of dataset.columns, which is not set; set it, or show "
                    "labeled rows by supplement=exemplars supplement.source=data."
                )
            return
        names = {name for name in self.columns if isinstance(name, str)}
        if not self.columns or len(names) < len(self.columns):
            raise ConfigError(
                f"dataset.columns={self.columns} is not a list of different names; name each column once, as in "
                "'dataset.columns=[title,body,price]', or leave it out if the rows are texts."
            )
        if self.text_column != TEXT:
            raise ConfigError(
                f"dataset.text_column={self.text_column} and dataset.columns are both set; for rows of several columns "
                "set only dataset.columns, for texts only dataset.text_column."
            )
        for key in ("label_column", "human_votes_column"):
            if getattr(self, key) in self.columns:
                raise ConfigError(
                    f"dataset.columns has {getattr(self, key)!r}, which is dataset.{key}: programs would see the gold "
                    "labels or votes; leave it out of dataset.columns."
                )

    def cache_key(self) -> dict[str, object]:
        """Return every value that alters more than the rows, which count by their fingerprint."""
        # fit_rows and reviewed count by the fingerprint, where they have an effect.
        left_out = ["labels", "test_share", "fit_rows", "reviewed"]
        if self.columns is None:
            left_out += ["columns", "show_examples"]
        if not self.multi_label:
            left_out.append("multi_label")
        return {name: value for name, value in super().cache_key().items() if name not in left_out}

    @property
    def row_columns(self) -> tuple[str, ...]:
        """The columns that rows are made of: that of the texts, or those of records."""
        return (self.text_column,) if self.columns is None else tuple(self.columns)

    @abstractmethod
    def read(self) -> SplitTables:
        """Read the tables of all splits.

        Returns:
            The splits, train at least.

        Raises:
            DataError: A table cannot be read.

        """

    def take(self, rows: list[int]) -> list[int]:
        """Return the rows of a split that are loaded: the first `limit` ones."""
        return rows[: self.limit]

    def load(self) -> TextData:
        """Read and check all splits; `classes`, if it is empty, is set to the class names of the labels.

        Returns:
            The splits of the source, or train, valid and test made of its labeled and unlabeled rows.

        Raises:
            DataError: A table cannot be read, or does not fit the configuration.
            ConfigError: The class names that the labels have do not fit the configuration.

        """
        source = self.read()
        row_columns, are_records = self.row_columns, self.columns is not None
        check_row_columns(source, row_columns, are_records=are_records)
        votes = self.human_votes_column
        notes = [
            *source.notes,
            *check_label_column(source, self.label_column, votes, row_columns, are_records=are_records),
        ]
        labels = self._read_labels(source, notes)
        contents = self._read_rows(source, notes)
        whole = {split: [*range(table.n_rows)] for split, table in source.splits.items()}
        train = source.splits[Split.TRAIN]
        if [*whole] == [Split.TRAIN]:
            found = labels.get(Split.TRAIN, [None] * train.n_rows)
            strata = strata_of(found, self.test_share) if self.multi_label else found
            rows, said = divide_rows(
                train, contents[Split.TRAIN], found, strata, row_columns, self.content, self.test_share
            )
            notes += said
        else:
            self._check_splits(source, labels)
            rows = whole
        rows = {split: self.take(chosen) for split, chosen in rows.items()}
        # Row numbers of the input are stored only if they differ from those of the split.
        moved = any(chosen != [*range(len(chosen))] for chosen in rows.values())
        splits: dict[Split, dict[str, list[Any]]] = {}
        others: dict[Split, pa.Table] = {}
        used = (*row_columns, self.label_column, self.human_votes_column)
        for split, chosen in rows.items():
            of = split if split in source.splits else Split.TRAIN
            gold = labels.get(of)
            if gold is not None and gold[chosen[0]] is None:
                gold = None  # the rows of a divided source that have no label
            splits[split] = self._columns(source.splits[of], contents[of], chosen, gold)
            others[split] = other_columns(source.splits[of].columns, used, chosen, source.splits[of].file)
        kind: RowKind = TextRows()
        if self.columns is not None:
            read = {split: columns[TEXT] for split, columns in splits.items()}
            kind = RecordRows(columns=describe_columns(self.columns, read, examples=self.show_examples))
        data = TextData(
            task=replace(
                self.describe_task(), parameter=kind.parameter, annotation=kind.annotation, columns=kind.columns
            ),
            table=self._to_dataset(splits),
            kind=kind,
            notes=tuple(notes),
            origin=source.origin,
            files={split: source.splits.get(split, train).where for split in rows},
            other_columns=unify_types(others, {split: len(chosen) for split, chosen in rows.items()}),
            input_rows={split: np.array(chosen) for split, chosen in rows.items()} if moved else {},
            fit_rows=self.fit_rows,
        )
        if self.reviewed is not None:
            path, numbers = resolve_user_path(self.reviewed, "dataset.reviewed"), data.rows_of_input(Split.TRAIN)
            return replace(data, reviewed=read_reviewed(path, data.texts(Split.TRAIN), numbers, kind, data.task))
        return data

    def _read_labels(self, source: SplitTables, notes: list[str]) -> Mapping[str, list[int | None]]:
        """Return the class index or mask of each row by split; take class names from the labels if none are given."""
        columns = {
            split.value: LabelColumn(
                where=table.where,
                values=table.columns[name],
                class_names=table.class_names.get(name),
            )
            for split, table in source.splits.items()
            if (name := self.label_column) is not None and name in table.columns
        }
        sets = {split: split_labels(column) for split, column in columns.items()} if self.multi_label else {}
        columns = {split: one.labels for split, one in sets.items()} or columns
        columns, secret = without_secret_labels(columns, self.classes if self._classes_given else [])
        notes += secret
        if not self._classes_given and not columns:
            hint = notes[-1] if notes and self.label_column is not None else "No row has a label."
            raise DataError(f"dataset.classes must be given, as in 'dataset.classes=[ham,spam]'. {hint}")
        if not self._classes_given:
            most = MAX_SET_CLASSES if self.multi_label else MAX_CLASSES
            self.classes = infer_classes(columns.values(), self.labels, most)
            self.check_classes()
            notes.append(
                f"The classes are taken from the labels: {numbered(self.classes)}. Programs must return these numbers; "
                "'dataset.classes=[...]' sets another order or other names."
            )
        labels = read_labels(columns, self.classes, self.labels)
        notes += labels.notes
        return masks_by_split(sets, labels.by_split) if sets else labels.by_split

    def _check_splits(self, source: SplitTables, labels: Mapping[str, list[int | None]]) -> None:
        """Refuse a split of which only some rows have a label, and a test share where the source has splits."""
        if self.test_share:
            raise DataError(
                f"dataset.test_share={self.test_share:g} is for data without splits, and {self.name} has "
                f"{', '.join(source.splits)}; leave it out."
            )
        for_empty_sets = f" For a row of no class write {SEPARATOR} in a CSV file, and [] in the other formats."
        for split, found in labels.items():
            if 0 < (n_missing := found.count(None)) < len(found):
                raise DataError(
                    f"{source.splits[Split(split)].where}: row {found.index(None) + 1} has no label, but other rows "
                    f"have one ({n_missing:,} of {len(found):,} have none); label every row, or move the labeled rows "
                    f"to a valid or test split and remove the column here.{for_empty_sets * self.multi_label}"
                )

    def _read_rows(self, source: SplitTables, notes: list[str]) -> dict[Split, Sequence[Any]]:
        """Return the rows of each split, and add notes on their columns."""
        if self.columns is None:
            return {split: table.columns[self.text_column] for split, table in source.splits.items()}
        tables = {
            split: RecordTable(
                where=table.where,
                columns=table.columns,
                untyped=table.file is not None and is_untyped(table.file),
                class_names=table.class_names,
            )
            for split, table in source.splits.items()
        }
        rows, found = read_records(self.columns, tables)
        notes += found
        return dict(rows)

    def _columns(
        self, table: SplitTable, contents: Sequence[Any], rows: list[int], gold: list[int | None] | None
    ) -> dict[str, list[Any]]:
        """Return the checked columns of some rows, with the names that every loaded split has."""
        columns: dict[str, list[Any]] = {TEXT: [as_text(contents[row], row + 1, table.where) for row in rows]}
        if gold is not None:
            columns[LABEL] = [gold[row] for row in rows]
        if self.human_votes_column is not None and self.human_votes_column in table.columns:
            votes = table.columns[self.human_votes_column]
            columns[HUMAN_VOTES] = check_votes([votes[row] for row in rows], len(self.classes), table.where)
        return columns

    def _to_dataset(self, splits: Mapping[Split, dict[str, list[Any]]]) -> "DatasetDict":
        """Return the splits as a dataset, after a check that all have votes of the same functions."""
        import datasets

        widths = {split: len(columns[HUMAN_VOTES][0]) for split, columns in splits.items() if HUMAN_VOTES in columns}
        for split, width in widths.items():
            if width != widths.get(Split.TRAIN, width):
                raise DataError(
                    f"there are {width} human votes per row on {split} and {widths[Split.TRAIN]} on train; every split "
                    "needs the votes of the same labeling functions."
                )
        types = {
            TEXT: datasets.Value("string"),
            LABEL: datasets.Value("int64") if self.multi_label else datasets.ClassLabel(names=self.classes),
            HUMAN_VOTES: datasets.List(datasets.Value("int8")),
        }
        table = datasets.DatasetDict()
        for split, columns in splits.items():
            features = datasets.Features({name: types[name] for name in columns})
            table[str(split)] = datasets.Dataset.from_dict(columns, features=features)
        return table
