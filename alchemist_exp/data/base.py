"""A dataset as the stages see it: texts, gold where there is any, human votes where there are any.

Everything is checked while loading, before anything is spent: class names and ids, human votes, empty splits. Gold
that the configuration does not allow a stage to use is kept away from it by the pipeline, not here.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError, DataError, unknown_name
from alchemist_exp.core.hashing import key_of, texts_fingerprint
from alchemist_exp.core.task import Task
from alchemist_exp.core.types import ABSTAIN, MAX_CLASSES, IntArray, Split, read_only

if TYPE_CHECKING:
    from datasets import DatasetDict

TEXT, LABEL, HUMAN_VOTES = "text", "label", "human_votes"
"""The columns of every loaded split; the last two only where the source has them."""


class Metric(StrEnum):
    """What a dataset is judged by, and so what early stopping watches.

    Members are in lower case because a configuration names them, and OmegaConf goes by the member's name.
    """

    accuracy = "accuracy"
    f1 = "f1"


@dataclass(frozen=True, kw_only=True, eq=False)
class TextData:
    """A loaded dataset. `table` holds the columns `text`, `label` (ClassLabel) and `human_votes`."""

    task: Task
    table: "DatasetDict"

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits there are, train first."""
        return tuple(s for s in Split if s in self.table)

    def texts(self, split: Split) -> list[str]:
        """The rows of `split`."""
        return self._texts[split]

    def gold(self, split: Split) -> IntArray | None:
        """int64 (n,) true classes, or None where the split is absent or unlabeled."""
        if split not in self.table or LABEL not in self.table[split].column_names:
            return None
        gold: IntArray = read_only(self.table[split].data.column(LABEL).to_numpy(), np.int64)
        return gold

    def human_votes(self, split: Split) -> npt.NDArray[np.int8] | None:
        """int8 (n, m) votes of the human-crafted labeling functions, or None where there are none."""
        if HUMAN_VOTES not in self.table[split].column_names:
            return None
        votes: npt.NDArray[np.int8] = np.array(self.table[split][HUMAN_VOTES][:], dtype=np.int8)
        return votes

    def texts_key(self, split: Split) -> str:
        """A key of the texts alone: what votes and features depend on."""
        return self._texts_keys[split]

    @cached_property
    def _texts(self) -> dict[Split, list[str]]:
        # Once: Arrow makes new strings each time it is asked, and most stages ask.
        return {split: list(self.table[split][TEXT]) for split in self.splits}

    @cached_property
    def _texts_keys(self) -> dict[Split, str]:
        return {split: texts_fingerprint(self.texts(split)) for split in self.splits}

    @cached_property
    def fingerprint(self) -> str:
        """A key of all content: texts, gold, human votes and class names of every split."""
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
        return key_of("dataset", {"classes": self.task.classes, "content": content})


@dataclass(kw_only=True)
class HubFiles:
    """Where a dataset is on the hub. revision: a branch, tag or commit. files: raw files; none: `datasets` reads it."""

    repo: str = MISSING
    revision: str = MISSING
    files: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Dataset(Component, ABC):
    """A dataset group member: where rows come from and what the task is called."""

    classes: list[str] = MISSING
    prompt: str = MISSING
    subject: str = MISSING
    relation: str = MISSING
    zero_shot_prompt: str = MISSING
    metric: Metric = MISSING
    positive_class: str | None = MISSING
    limit: int | None = MISSING
    license: str = MISSING

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= MAX_CLASSES:
            raise ConfigError(
                f"dataset.classes has {len(self.classes)} names; 2 to {MAX_CLASSES} are needed, "
                "in the order of their indices, as in dataset.classes=[ham,spam]."
            )
        if len(set(self.classes)) < len(self.classes) or not all(c.strip() for c in self.classes):
            raise ConfigError(f"dataset.classes is {self.classes}; each class needs a name of its own.")
        if self.positive_class is not None and self.positive_class not in self.classes:
            raise ConfigError(
                f"dataset.positive_class is {self.positive_class!r}, which is not one of dataset.classes "
                f"{self.classes}; name one of them, or null."
            )
        if self.metric is Metric.f1 and self.positive_class is None:
            raise ConfigError("dataset.metric=f1 needs dataset.positive_class, the class whose F1 is meant.")
        if "[text]" not in self.zero_shot_prompt:
            raise ConfigError(
                f"dataset.zero_shot_prompt is {self.zero_shot_prompt!r}; it needs [text] where the row's text goes, "
                "as in 'what is the category of this text: [text]'."
            )
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"dataset.limit is {self.limit}; rows per split, 1 or more, or null for all.")

    @property
    def positive(self) -> int | None:
        """Index of the positive class of binary F1, None for weighted F1."""
        return None if self.positive_class is None else self.classes.index(self.positive_class)

    def describe_task(self) -> Task:
        """The task in the words its prompts are made of."""
        return Task(
            name=self.name,
            description=self.prompt,
            classes=tuple(self.classes),
            subject=self.subject,
            relation=self.relation,
            zero_shot_prompt=self.zero_shot_prompt,
        )

    @abstractmethod
    def load(self) -> TextData:
        """Reads and checks all splits. DataError when they contradict the description."""


def class_ids(labels: Sequence[object], classes: Sequence[str], where: str) -> list[int] | None:
    """Class indices of `labels`, all of them names or all of them indices; None when every label is missing.

    Names come first: labels that can be read both ways are names. DataError with the first wrong row, from 1.
    """
    if all(map(_missing, labels)):
        return None
    spelled = [_spelled(label) for label in labels]
    names = {name: i for i, name in enumerate(classes)}
    indices = {str(i): i for i in range(len(classes))}
    named = any(label in names and label not in indices for label in spelled) or all(
        label in names for label in spelled
    )
    ids = names if named else indices
    for row, label in enumerate(labels, start=1):
        if _missing(label):
            raise DataError(
                f"{where}: row {row} has no label and others have; label every row, or move the labeled rows to a "
                "valid or test split and leave the column out here."
            )
        if spelled[row - 1] not in ids:
            raise DataError(
                f"{where}: row {row}: {unknown_name('the label', str(label)[:80], classes)} "
                f"Indices 0..{len(classes) - 1} will do too, if every label is one."
            )
    return [ids[label] for label in spelled]


def _missing(label: object) -> bool:
    return label is None or label == "" or (isinstance(label, float) and np.isnan(label))


def _spelled(label: object) -> str:
    """The label as it is looked up: 1, 1.0 and " spam " are "1", "1" and "spam"."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip()


def checked_votes(votes: Sequence[object], n_classes: int, where: str) -> list[list[int]]:
    """Human votes of one split. DataError with the number of the first row that is ragged or out of range."""
    checked: list[list[int]] = []
    for row, vote in enumerate(votes, start=1):
        if not isinstance(vote, list):
            raise DataError(f"{where}: row {row} has {str(vote)[:40]} where a list of votes is needed.")
        if not vote:
            raise DataError(f"{where}: row {row} has no votes; one per labeling function is needed, -1 = abstain.")
        if checked and len(vote) != len(checked[0]):
            raise DataError(f"{where}: row {row} has {len(vote)} votes, row 1 {len(checked[0])}.")
        if any(not isinstance(v, int) or not ABSTAIN <= v < n_classes for v in vote):
            raise DataError(f"{where}: row {row} has a vote outside -1..{n_classes - 1}: {vote[:20]}.")
        checked.append(vote)
    return checked
