"""Zero-shot classification of images by an image-text encoder such as CLIP, the paper's baselines (Table 2).

An image gets the class whose prompt has the largest cosine with it (Radford et al., 2021). No LLM and no label is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.concepts.scales import LOGIT_SCALE
from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix, SoftLabels, Split
from alchemist_exp.features.images.base import ImageTextEncoder
from alchemist_exp.methods.base import SoftLabelMethod
from alchemist_exp.methods.types import LabelingResult, LabelSources
from alchemist_exp.prompts.filling import fill

CLASS, GROUP = "class", "group"


def check_prompt(key: str, prompt: str, placeholders: Sequence[str]) -> None:
    """Check that a prompt has its placeholders.

    Args:
        key: The configuration key of the prompt.
        prompt: The prompt.
        placeholders: The words that it must contain in square brackets.

    Raises:
        ConfigError: One is not there.

    """
    for name in placeholders:
        if f"[{name}]" not in prompt:
            raise ConfigError(f"method.{key} has no [{name}]; write [{name}] where the {name} belongs.")


def encoder_of(context: RunContext) -> ImageTextEncoder:
    """Return the feature extractor of an image dataset.

    Args:
        context: What the stages of the run share.

    Returns:
        The encoder.

    Raises:
        TypeError: The rows are no images; `check_experiment` refuses such a configuration.

    """
    if not isinstance(context.extractor, ImageTextEncoder):
        raise TypeError(f"feature_extractor={context.extractor.name} does not compare images with texts")
    return context.extractor


def label_by_scores(method: str, scores: Mapping[Split, npt.NDArray[Any]]) -> LabelingResult:
    """Label every row of every split by its scores.

    Args:
        method: The method's name.
        scores: By split, array of shape (n_rows, n_classes): the cosine of each image and the best prompt of each
            class.

    Returns:
        Soft labels, the softmax of 100 times the scores as in CLIP; and one vote per row, the class with the largest
        score.

    """
    labels = {}
    for split, of_split in scores.items():
        logits = LOGIT_SCALE * of_split.astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))  # the largest logit is 0, so that none overflows
        probs = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        labels[split] = SoftLabels(probs=probs, covered=np.ones(len(probs), dtype=bool))
    sources = LabelSources(
        method=method,
        n_requested=1,
        ids=(method,),
        origins=(method,),
        matrices={
            split: LabelMatrix(votes=of_split.hard()[:, np.newaxis].astype(np.int8), n_classes=of_split.probs.shape[1])
            for split, of_split in labels.items()
        },
    )
    return LabelingResult(labels=labels, labeled_by=method, sources=sources)


@component("method", "clip_zero_shot")
@dataclass(kw_only=True)
class ClipZeroShotMethod(SoftLabelMethod):
    """One prompt per class: an image gets the class of the prompt with the largest cosine.

    Attributes:
        class_prompt: The prompt; [class] is replaced by the name of a class.

    """

    labels_texts = False
    class_prompt: str = MISSING

    def __post_init__(self) -> None:
        """Check the prompt.

        Raises:
            ConfigError: It names no class.

        """
        check_prompt("class_prompt", self.class_prompt, (CLASS,))

    def label(self, context: RunContext) -> LabelingResult:
        """Label every row of every split.

        Args:
            context: What the stages of the run share.

        Returns:
            The soft labels.

        """
        features = context.features()
        vectors = encoder_of(context).encode_texts(
            [fill(self.class_prompt, {CLASS: name}) for name in context.data.task.classes]
        )
        return label_by_scores(self.name, {split: rows @ vectors.T for split, rows in features.items()})


class GroupPrompts(StrEnum):
    """The prompts of `ClipGroupMethod`.

    Attributes:
        as_printed: One for each class and value of the group attribute, as printed in the paper.
        as_coded: The prompt of the first class and the first value is replaced by that of the last value. The code of
            the paper's authors probably repeats one of the four prompts; which one is a guess.

    """

    as_printed = "as_printed"
    as_coded = "as_coded"


_MIN_VALUES: Final = 2


@component("method", "clip_group")
@dataclass(kw_only=True)
class ClipGroupMethod(SoftLabelMethod):
    """One prompt per group: an image gets the class of the prompt with the largest cosine.

    The prompts name the values of the spurious attribute. The group labels of the rows are not used.

    Attributes:
        prompts: Which of the prompts are used.
        group_prompt: The prompt; [class] is replaced by the name of a class, [group] by one of `group_values`.
        group_values: The values of the spurious attribute.

    Example:
        >>> method = ClipGroupMethod(prompts="as_coded", group_prompt="[class] on [group]", group_values=["a", "b"])
        >>> method.prompts_of(["gull", "wren"])
        [['gull on b', 'gull on b'], ['wren on a', 'wren on b']]

    """

    labels_texts = False
    prompts: GroupPrompts = MISSING
    group_prompt: str = MISSING
    group_values: list[str] = MISSING

    def __post_init__(self) -> None:
        """Check the prompt and the values.

        Raises:
            ConfigError: The prompt names no class or no group, or the values are not several different ones.

        """
        check_prompt("group_prompt", self.group_prompt, (CLASS, GROUP))
        values = list(self.group_values)
        if len(set(values)) < max(len(values), _MIN_VALUES):
            raise ConfigError(f"method.group_values={values}; expected {_MIN_VALUES} or more different values.")

    def prompts_of(self, classes: Sequence[str]) -> list[list[str]]:
        """Return the prompts.

        Args:
            classes: The class names, in class order.

        Returns:
            For each class one prompt for each of `group_values`.

        """
        prompts = [[fill(self.group_prompt, {CLASS: c, GROUP: value}) for value in self.group_values] for c in classes]
        if self.prompts is GroupPrompts.as_coded:
            prompts[0][0] = prompts[0][-1]
        return prompts

    def label(self, context: RunContext) -> LabelingResult:
        """Label every row of every split; the score of a class is that of its best prompt.

        Args:
            context: What the stages of the run share.

        Returns:
            The soft labels, and notes on the prompts.

        """
        features, classes = context.features(), context.data.task.classes
        prompts = self.prompts_of(classes)
        vectors = encoder_of(context).encode_texts([prompt for of_class in prompts for prompt in of_class])
        by_class = vectors.reshape(len(classes), len(self.group_values), -1)
        scores = {
            split: np.stack([(rows @ of_class.T).max(axis=1) for of_class in by_class], axis=1)
            for split, rows in features.items()
        }
        notes = [
            f"{self.name}: the prompts name the values of the spurious attribute ({', '.join(self.group_values)}); no "
            "group label of a row is used."
        ]
        if self.prompts is GroupPrompts.as_coded:
            missing = fill(self.group_prompt, {CLASS: classes[0], GROUP: self.group_values[0]})
            notes.append(
                f"method.prompts=as_coded: {prompts[0][-1]!r} takes the place of {missing!r}. Which prompt the code of "
                "the paper's authors repeats is a guess."
            )
        return replace(label_by_scores(self.name, scores), notes=tuple(notes))
