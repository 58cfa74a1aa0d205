"""The base class of the configuration group dataset.

Class names, labels, human votes and empty splits are checked while loading, before an LLM is called.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.label_sets import MAX_SET_CLASSES, SEPARATOR
from alchemist_exp.core.task import Task
from alchemist_exp.core.terminal import is_writable
from alchemist_exp.core.types import MAX_CLASSES
from alchemist_exp.data.text_data import TextData  # datasets of plugins may import it from here


class Metric(StrEnum):
    """The score of a dataset, which early stopping watches. Members have the names that a configuration uses."""

    accuracy = "accuracy"  # share of correct rows
    f1 = "f1"  # F1 of the positive class
    macro_f1 = "macro_f1"  # unweighted mean of the F1 of all classes


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
        >>> from alchemist_exp.core.types import Split
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
