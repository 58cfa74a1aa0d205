"""What a method is, and the labels it results in.

A method replaces the first stages of the pipeline. There are three kinds: methods that provide programs, methods that
provide votes, and methods that provide soft labels.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import Component
from alchemist_exp.llm.dialogue import Dialogue
from alchemist_exp.methods.types import GeneratedPrograms, LabelingResult, LabelSources
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.programs.types import Rejected
from alchemist_exp.supplements.base import Supplement


@dataclass(kw_only=True)
class Method(Component, ABC):
    """A way to label a dataset: a `ProgramMethod`, a `VoteMethod` or a `SoftLabelMethod`."""

    uses: ClassVar[tuple[str, ...]] = ()
    """The configuration groups that alter the labels: they are checked first and are part of the run's key."""
    reads_scores: ClassVar[bool] = False
    """Whether the programs of image datasets receive concept scores (concepts.use=true); else they receive pixels."""
    labels_images: ClassVar[bool] = True
    """Whether it can label image datasets."""
    labels_texts: ClassVar[bool] = True
    """Whether it can label datasets of texts or records."""
    supports_multi_label: ClassVar[bool] = False
    """Whether it can label datasets with several classes per row (dataset.multi_label=true)."""

    @property
    def used_groups(self) -> tuple[str, ...]:
        """The groups of `uses` that alter the labels with the values of this method."""
        return self.uses

    def dialogue(
        self, context: RunContext, trials: ProgramTrials, supplement: Supplement, repair: Repair
    ) -> Dialogue[Any] | None:
        """Return what the LLM is asked; a plan runs the same dialogue with guessed responses.

        Args:
            context: What the stages of the run share.
            trials: Trials of programs: of a run, or of a plan.
            supplement: The configured supplement.
            repair: The configured repair.

        Returns:
            The dialogue, or None for a method that makes no LLM call.

        """
        return None


@dataclass(kw_only=True)
class ProgramMethod(Method):
    """A method that provides programs. They are vetted and executed, and a label model combines their votes.

    Example:
        A method whose only program is a constant.

        >>> from alchemist_exp.programs.types import Program
        >>> class Constant(ProgramMethod):
        ...     def n_requested(self, supplement):
        ...         return 1
        ...     def generate(self, context, trials, supplement, repair):
        ...         program = Program(source="def label_function(text): return 1", origin="constant")
        ...         return GeneratedPrograms(candidates=(program,))
        >>> len(Constant(name="constant").generate(None, None, None, None).candidates)
        1

    """

    uses: ClassVar[tuple[str, ...]] = ("sandbox", "vetting", "selection", "label_model")
    advice_for_more_programs: ClassVar[str] = "provide more programs"
    """How to get more programs, for the error message when too few are configured."""

    def advice_without_programs(self, rejected: Sequence[Rejected], repair: Repair) -> str:
        """Return how to get programs, for the error message when too few were accepted.

        Args:
            rejected: The rejected candidates.
            repair: The configured repair.

        Returns:
            A part of a sentence.

        """
        return "correct the programs or add others"

    @abstractmethod
    def generate(
        self, context: RunContext, trials: ProgramTrials, supplement: Supplement, repair: Repair
    ) -> GeneratedPrograms:
        """Provide the candidates.

        Args:
            context: What the stages of the run share.
            trials: Vets candidates, for methods that have rejected ones repaired.
            supplement: The configured supplement.
            repair: The configured repair.

        Returns:
            The candidates, accepted or not.

        Raises:
            LLMError: The LLM cannot be reached, or the budget is used up.

        """

    def add_labels(self, context: RunContext, result: LabelingResult) -> LabelingResult:
        """Label rows of train in addition to the label model; by default none.

        Args:
            context: What the stages of the run share.
            result: The labels of the label model, and the votes they are made from.

        Returns:
            The result that the end model learns from.

        Raises:
            LLMError: The LLM cannot be reached.

        """
        return result

    @abstractmethod
    def n_requested(self, supplement: Supplement) -> int:
        """Return how many programs are wanted.

        Args:
            supplement: The configured supplement.

        Returns:
            The number of programs of all strategies together.

        """

    def n_strategies(self, supplement: Supplement) -> int:
        """Return by how many strategies the programs are written.

        Args:
            supplement: The configured supplement.

        Returns:
            1, unless the method writes programs for each member of the supplement.

        """
        return 1


@dataclass(kw_only=True)
class VoteMethod(Method):
    """A method that provides votes, which a label model combines.

    Example:
        >>> import numpy as np
        >>> from alchemist_exp.core.types import LabelMatrix, Split
        >>> class Coin(VoteMethod):
        ...     def votes(self, context):
        ...         matrix = LabelMatrix(votes=np.array([[0], [1]]), n_classes=2)
        ...         return LabelSources(
        ...             method=self.name, n_requested=1, ids=("c",), origins=("coin",), matrices={Split.TRAIN: matrix}
        ...         )
        >>> Coin(name="coin").votes(None).matrices[Split.TRAIN].coverage
        1.0

    """

    uses: ClassVar[tuple[str, ...]] = ("label_model",)

    @abstractmethod
    def votes(self, context: RunContext) -> LabelSources:
        """Provide the votes.

        Args:
            context: What the stages of the run share.

        Returns:
            The votes on train, and on each other split that has votes.

        Raises:
            DataError: There are no votes on train.

        """


@dataclass(kw_only=True)
class SoftLabelMethod(Method):
    """A method that provides soft labels; there is no label model.

    Example:
        >>> class Nothing(SoftLabelMethod):
        ...     def label(self, context):
        ...         return LabelingResult(labels={}, labeled_by=self.name, sources=None)
        >>> Nothing(name="nothing").label(None).labeled_by
        'nothing'

    """

    @abstractmethod
    def label(self, context: RunContext) -> LabelingResult:
        """Label train, and other splits where the method can.

        Args:
            context: What the stages of the run share.

        Returns:
            The soft labels.

        Raises:
            LLMError: The LLM gave no label at all.

        """
