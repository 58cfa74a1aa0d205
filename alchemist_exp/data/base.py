"""Datasets: the base class of the configuration group, and what a loaded dataset offers to the stages.

Class names, labels, human votes and empty splits are checked while loading, before an LLM is called. Gold labels that
the configuration does not allow a stage to use are hidden from it by the pipeline, not here.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.label_sets import MAX_SET_CLASSES, SEPARATOR
from alchemist_exp.core.task import Task
from alchemist_exp.core.terminal import is_writable
from alchemist_exp.core.types import MAX_CLASSES, BoolArray, IntArray, Split, read_only
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


class Metric(StrEnum):
    """The score of a dataset, which early stopping watches. Members have the names that a configuration uses."""

    accuracy = "accuracy"  # share of correct rows
    f1 = "f1"  # F1 of the positive class
    macro_f1 = "macro_f1"  # unweighted mean of the F1 of all classes


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
        for name in ("_texts", "_texts_keys"):
            hidden.__dict__[name] = getattr(self, name)
        return hidden


@dataclass(kw_only=True)
class HubFiles:
    """Where a dataset is on the Hugging Face Hub.

    Attributes:
        repo: The dataset's repository, owner/name.
        revision: A branch, tag or commit.
        files: Paths of the raw files; if there are none, the library `datasets` reads the repository.

    """

    repo: str = MISSING
    revision: str = MISSING
    files: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Dataset(Component, ABC):
    """A member of the configuration group dataset: where the rows are, and the words that describe the task.

    Attributes:
        classes: Class names; the position of a name is its class index.
        prompt: The sentence that asks the LLM for a program.
        subject: The noun for one row, such as "comment".
        relation: The words between the subject and a class name, such as "is about".
        zero_shot_prompt: The question about one row, with "[text]" in place of the row.
        metric: The score that early stopping watches; with macro_f1 the distilled model also has class offsets.
        positive_class: The class of binary F1; None for weighted F1.
        limit: Rows taken from the start of each split; None for all.
        license: The license of the texts.

    Example:
        >>> import datasets
        >>> @dataclass(kw_only=True)
        ... class Greetings(Dataset):
        ...     def load(self):
        ...         columns = {
        ...             "text": datasets.Value("string"),
        ...             "label": datasets.ClassLabel(names=self.classes),
        ...         }
        ...         train = datasets.Dataset.from_dict(
        ...             {"text": ["hello", "win a prize"], "label": [0, 1]}, features=datasets.Features(columns)
        ...         )
        ...         return TextData(task=self.describe_task(), table=datasets.DatasetDict(train=train))
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
        ... )
        >>> dataset.load().gold(Split.TRAIN).tolist()
        [0, 1]

    """

    images: ClassVar[bool] = False
    """Whether the rows are images."""
    infers_classes: ClassVar[bool] = False
    """Whether `load` takes the class names from the labels if `classes` is empty."""

    # Any: a list of str would turn YAML's yes and 1.0 into the texts "True" and "1.0", unnoticed.
    classes: list[Any] = MISSING
    prompt: str = MISSING
    subject: str = MISSING
    relation: str = MISSING
    zero_shot_prompt: str = MISSING
    metric: Metric = MISSING
    positive_class: str | None = MISSING
    limit: int | None = MISSING
    license: str = MISSING

    def __post_init__(self) -> None:
        """Check that the values are possible and agree with each other.

        Raises:
            ConfigError: They do not.

        """
        self.classes = [_class_name(name, number) for number, name in enumerate(self.classes, start=1)]
        if self.classes or not self.infers_classes:
            self.check_classes()
        if self.metric is Metric.f1 and self.is_multi_label:
            raise ConfigError(
                "dataset.metric=f1 is for one class per row; leave it out: with dataset.multi_label=true the score is "
                "the macro-F1."
            )
        if self.metric is Metric.f1 and self.positive_class is None:
            raise ConfigError("dataset.metric=f1 needs dataset.positive_class, the class whose F1 is computed.")
        if not self.prompt.strip():
            raise ConfigError(
                "dataset.prompt is empty; say what the LLM should do, for example 'Label messages as ham or spam.'"
            )
        if "[text]" not in self.zero_shot_prompt:
            raise ConfigError(
                f"dataset.zero_shot_prompt={self.zero_shot_prompt!r} has no [text] in place of the row's text; an "
                "example is 'what is the category of this text: [text]'."
            )
        if self.limit is not None and self.limit < 1:
            raise ConfigError(
                f"dataset.limit={self.limit}; expected a number of rows per split from 1, or null for all."
            )

    def check_classes(self) -> None:
        """Check that the class names are possible.

        Raises:
            ConfigError: They are not.

        """
        most = MAX_SET_CLASSES if self.is_multi_label else MAX_CLASSES
        if not 2 <= len(self.classes) <= most:
            several = " with multi_label=true" * self.is_multi_label
            raise ConfigError(
                f"dataset.classes has {len(self.classes)} names; expected 2 to {most}{several}, in the order of their "
                "indices, as in 'dataset.classes=[ham,spam]'."
            )
        if (name := next((name for name in self.classes if not is_writable(name)), None)) is not None:
            raise ConfigError(
                f"the class name {name[:80]!r} has a control character or a lone surrogate, which is no valid Unicode "
                "character; correct it in dataset.classes, or in the labels if the classes are taken from them."
            )
        if self.is_multi_label and (name := next((name for name in self.classes if SEPARATOR in name), None)):
            raise ConfigError(
                f"dataset.classes has {name!r}, and with multi_label=true {SEPARATOR} is between the names of classes; "
                "give the class another name."
            )
        if len(set(self.classes)) < len(self.classes) or not all(c.strip() for c in self.classes):
            raise ConfigError(
                f"dataset.classes={self.classes} has an empty or repeated name; give each class another one."
            )
        if self.positive_class is not None and self.positive_class not in self.classes:
            raise ConfigError(
                f"dataset.positive_class={self.positive_class!r} is not in dataset.classes={self.classes}; set one of "
                "them, or null."
            )

    @property
    def score_metric(self) -> Metric:
        """The score by which runs are compared: `metric`, or macro-F1 where several classes may hold for a row."""
        return Metric.macro_f1 if self.is_multi_label else self.metric

    @property
    def is_multi_label(self) -> bool:
        """Whether several classes, or none, may hold for a row."""
        return bool(getattr(self, "multi_label", False))

    @property
    def positive(self) -> int | None:
        """The index of the positive class of binary F1, None for weighted F1."""
        return None if self.positive_class is None else self.classes.index(self.positive_class)

    def describe_task(self) -> Task:
        """Return the description of the task that prompts are made of."""
        return Task(
            name=self.name,
            description=self.prompt,
            classes=tuple(self.classes),
            subject=self.subject,
            relation=self.relation,
            zero_shot_prompt=self.zero_shot_prompt,
            multi_label=self.is_multi_label,
        )

    def cache_key(self) -> dict[str, object]:
        """Return every value but the files' place and licence: the rows count by their fingerprint."""
        return {name: value for name, value in super().cache_key().items() if name not in ("path", "license")}

    @abstractmethod
    def load(self) -> TextData:
        """Read and check all splits.

        Returns:
            The splits, train at least, each with one row or more.

        Raises:
            DataError: A split cannot be read, or does not fit the configuration.

        """


def _class_name(name: object, number: int) -> str:
    """Return a class name of the configuration; a whole number is a name too, other values of YAML are refused."""
    if isinstance(name, str):
        return name
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    read = {True: "yes, on and true", False: "no, off and false", None: "null and ~"}
    why = f"{read[name]} without quotes" if name is None or isinstance(name, bool) else "it without quotes"
    raise ConfigError(
        f"dataset.classes has {name!r} as item {number}, and a class name is a text: YAML reads {why} as "
        'another value. Put each name in quotes: classes: ["no", "yes"] in a file, '
        '\'dataset.classes=["no","yes"]\' on the command line.'
    )
