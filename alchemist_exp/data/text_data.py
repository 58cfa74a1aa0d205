"""A loaded dataset: what it offers to the stages of a run.

Gold labels that the configuration does not allow a stage to use are hidden from it by the pipeline, not here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.task import Task
from alchemist_exp.core.types import BoolArray, IntArray, Split, read_only
from alchemist_exp.data.reviewed import ReviewedRows
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.data.text_column import LAZY_ROWS, TextColumn
from alchemist_exp.data.text_rows import TextRows
from alchemist_exp.data.texts import Repeats, find_repeats

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import DatasetDict

TEXT, LABEL, HUMAN_VOTES = "text", "label", "human_votes"
"""The columns of a loaded split; the last two only if the source has them. The first has the rows of any kind."""

_SAMPLE_SEED = 0
"""The seed that chooses the rows of `TextData.fit_sample`; with another one, stored features are not found again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribute:
    """A property of the rows that is known besides the class, such as the background of a photo.

    Attributes:
        values: The names of its values.
        of_rows: By split, int64 array of shape (n_rows,): the index of each row's value.

    """

    values: tuple[str, ...]
    of_rows: Mapping[Split, IntArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextData:
    """A loaded dataset, with rows of any kind.

    Attributes:
        task: The description that prompts are made of.
        kind: What the rows are: texts, or records.
        table: One table per split, with the columns `text`, `label` (a ClassLabel) and `human_votes`.
        notes: What a reader of the results should know about how the source was read, one sentence each.
        origin: Repository and commit on the Hugging Face Hub; None for files.
        files: The file of each split, for messages.
        other_columns: By split, the input's other columns, one row for each row of `table`. They are written next to
            the labels; no stage sees them and they are not part of the fingerprint.
        input_rows: By split, int64 array of shape (n_rows,): each row's number in the input, counted from 0. Empty if
            the rows are those of the input.
        attributes: What is known of the rows besides the class, by name. Scores are broken down by it; no stage sees
            it.
        group_attribute: The attribute that, together with the class, makes the groups of which the worst counts.
        fit_rows: The most rows of train that features, label model and end model are fitted on; None for no limit.
        reviewed: Rows of train that a person labeled for this dataset (dataset.reviewed); None for none.

    """

    task: Task
    table: "DatasetDict"
    kind: RowKind = field(default_factory=TextRows)
    notes: tuple[str, ...] = ()
    origin: str | None = None
    files: Mapping[Split, str] = field(default_factory=dict)
    other_columns: "Mapping[Split, pa.Table]" = field(default_factory=dict)
    input_rows: Mapping[Split, IntArray] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    group_attribute: str | None = None
    fit_rows: int | None = None
    reviewed: ReviewedRows | None = None

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits of the dataset, train first."""
        return tuple(s for s in Split if s in self.table)

    def texts(self, split: Split) -> Sequence[str]:
        """Return the rows of a split.

        Args:
            split: A split of the dataset.

        Returns:
            One str per row, as `kind` stores it: a text itself, a record as JSON. Of more than `LAZY_ROWS` rows, the
            strings are made when they are used.

        """
        return self._texts[split]

    def gold(self, split: Split) -> IntArray | None:
        """Return the gold labels of a split.

        Args:
            split: Any split.

        Returns:
            Read-only int64 array of shape (n_rows,): classes, or with `task.multi_label` masks of classes (see
            `core.label_sets`). None if the split is absent or unlabeled.

        """
        if split not in self.table or LABEL not in self.table[split].column_names:
            return None
        # As Arrow, which is fast, and right for a table of selected rows too.
        gold: IntArray = read_only(self.table[split].with_format("arrow")[LABEL][:].to_numpy(), np.int64)
        return gold

    def human_votes(self, split: Split) -> npt.NDArray[np.int8] | None:
        """Return the votes of the human-crafted labeling functions on a split.

        Args:
            split: A split of the dataset.

        Returns:
            int8 array of shape (n_rows, n_functions), -1 means abstain; None if the split has no votes.

        """
        if HUMAN_VOTES not in self.table[split].column_names:
            return None
        votes: npt.NDArray[np.int8] = np.array(self.table[split][HUMAN_VOTES][:], dtype=np.int8)
        return votes

    def texts_key(self, split: Split) -> str:
        """Return a key of the texts of a split, on which votes and features depend.

        Args:
            split: A split of the dataset.

        Returns:
            A hexadecimal key.

        """
        return self._texts_keys[split]

    @cached_property
    def _texts(self) -> dict[Split, Sequence[str]]:
        # Cached: Arrow makes new strings at each access, and most stages need the texts.
        return {
            split: self.table[split][TEXT][:]
            if len(self.table[split]) <= LAZY_ROWS
            else TextColumn(self.table[split].with_format("arrow")[TEXT][:])
            for split in self.splits
        }

    @cached_property
    def _texts_keys(self) -> dict[Split, str]:
        return {split: self.kind.fingerprint(self.texts(split)) for split in self.splits}

    @cached_property
    def fingerprint(self) -> str:
        """A key of the rows, gold labels, human votes, attributes and class names of every split.

        `fit_rows` is part of it where train has more rows with text: another sample gives other results.
        """
        content = []
        for split in self.splits:
            gold, votes = self.gold(split), self.human_votes(split)
            content.append(
                {
                    "split": split,
                    "texts": self.texts_key(split),
                    "gold": None if gold is None else gold.tolist(),
                    "human_votes": None if votes is None else votes.tolist(),
                }
            )
        attributes = {
            name: [list(one.values), {split: rows.tolist() for split, rows in one.of_rows.items()}]
            for name, one in self.attributes.items()
        }
        groups = {"attributes": attributes, "group_attribute": self.group_attribute} if attributes else {}
        sampled = self.fit_rows is not None and self.fit_rows < np.count_nonzero(self.has_text(Split.TRAIN))
        fit_rows = {"fit_rows": self.fit_rows} if sampled else {}
        reviewed = {}
        if (labeled := self.reviewed) is not None:
            reviewed = {"reviewed": [labeled.rows.tolist(), labeled.gold.tolist()]}
        several = {"multi_label": True} if self.task.multi_label else {}
        rest = groups | fit_rows | reviewed | several
        return key_of("dataset", {"classes": self.task.classes, "content": content, **rest})

    @cached_property
    def fit_sample(self) -> IntArray | None:
        """The rows of train that features, label model and end model are fitted on; None for all.

        int64 array of shape (fit_rows,): row numbers in ascending order, drawn at random with a fixed seed.
        """
        n_rows = len(self.texts(Split.TRAIN))
        if self.fit_rows is None or n_rows <= self.fit_rows:
            return None
        sample = np.random.default_rng(_SAMPLE_SEED).choice(n_rows, self.fit_rows, replace=False)
        rows: IntArray = read_only(np.sort(sample), np.int64)
        return rows

    def has_text(self, split: Split) -> BoolArray:
        """Return which rows have content, for texts a visible character.

        Args:
            split: A split of the dataset.

        Returns:
            Boolean array of shape (n_rows,), see `RowKind.is_empty`.

        """
        return self._has_text[split]

    @cached_property
    def _has_text(self) -> dict[Split, BoolArray]:
        return {split: ~np.fromiter(map(self.kind.is_empty, self.texts(split)), bool) for split in self.splits}

    @cached_property
    def rows_with_text(self) -> "TextData":
        """The dataset without the rows that have no text: what a run labels, trains on and scores.

        Raises:
            DataError: A split has nearly no texts, or its texts are numbers or all the same.

        """
        texts = {
            split: self.texts(split) if has.all() else list(compress(self.texts(split), has))
            for split, has in self._has_text.items()
        }
        for split, with_text in texts.items():
            self.kind.check(with_text, len(self.texts(split)), self.files.get(split, split))
        if all(has.all() for has in self._has_text.values()):
            return self
        rows = {split: np.flatnonzero(self.has_text(split)) for split in self.splits}
        table = type(self.table)({split.value: self.table[split].select(rows[split]) for split in self.splits})
        numbers = {split: self.rows_of_input(split)[rows[split]] for split in self.splits}
        attributes = {
            name: replace(one, of_rows={split: of[rows[split]] for split, of in one.of_rows.items()})
            for name, one in self.attributes.items()
        }
        reviewed = self.reviewed
        if reviewed is not None:  # none of these rows is without text, since their texts were compared
            reviewed = ReviewedRows(rows=np.searchsorted(rows[Split.TRAIN], reviewed.rows), gold=reviewed.gold)
        changed: dict[str, Any] = {"input_rows": numbers, "attributes": attributes, "reviewed": reviewed}
        kept = replace(self, table=table, other_columns={}, **changed)
        kept.__dict__["_texts"] = texts
        return kept

    def rows_of_input(self, split: Split) -> IntArray:
        """Return the number of each row in the input, as in the labels file.

        Args:
            split: A split of the dataset.

        Returns:
            int64 array of shape (n_rows,), counted from 0.

        """
        return self.input_rows[split] if self.input_rows else np.arange(len(self.texts(split)))

    @cached_property
    def repeats(self) -> Repeats:
        """Rows whose text occurs before, in their own split or in an earlier one."""
        rows = {split: self.texts(split) for split in self.splits}
        return find_repeats(rows, self.kind.repeat_key, self.kind.exact_key)

    def without_gold(self) -> "TextData":
        """Return the same dataset without gold labels, reviewed rows and attributes; texts and keys are shared."""
        labeled = [split for split in self.splits if LABEL in self.table[split].column_names]
        table = type(self.table)(
            {split: part.remove_columns(LABEL) if split in labeled else part for split, part in self.table.items()}
        )
        hidden = replace(self, table=table, attributes={}, group_attribute=None, reviewed=None)
        # A cached property is stored in __dict__; texts and keys do not depend on gold labels and are slow to compute.
        for name in ("_texts", "_texts_keys"):
            hidden.__dict__[name] = getattr(self, name)
        return hidden
