"""What a method is, and the labels it results in.

A method replaces the first stages of the pipeline. There are three kinds: methods that provide programs, methods that
provide votes, and methods that provide soft labels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.types import LabelMatrix, SoftLabels, Split
from alchemist_exp.label_models.base import LabeledVotes, fit_label_model
from alchemist_exp.llm.dialogue import Dialogue
from alchemist_exp.llm.types import LLMCall
from alchemist_exp.programs.execution import ExecutionResult
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.programs.types import Candidate, Program, Rejected, VettingResult
from alchemist_exp.sandbox.base import ProgramRun
from alchemist_exp.supplements.base import ResolvedSupplement, Supplement

_MAX_REASONS: Final = 10


@dataclass(frozen=True, kw_only=True)
class GeneratedPrograms:
    """Programs before the final vetting.

    Attributes:
        candidates: All candidates in the order in which they were written, repairs included.
        supplements: The supplements of the prompts they were written for.
        calls: The LLM calls, each once.

    """

    candidates: tuple[Candidate, ...]
    supplements: tuple[ResolvedSupplement, ...] = ()
    calls: tuple[LLMCall, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSources:
    """The votes that labels are made from, and where they are from.

    Attributes:
        method: The method's name.
        n_requested: How many programs or labeling functions were wanted.
        ids: An id for each column of the matrices, for people.
        origins: Where each column is from, for people.
        matrices: The votes on each split, one column per source.
        n_candidates: How many candidates there were, repairs included.
        programs: The program of each column; empty when no program voted.
        unselected: Accepted programs that the selection left out.
        rejected: Candidates that were rejected, with the reason.
        supplements: The supplements of the prompts.
        runs: By source, how each program ran on each split; rejected programs are among them.
        responses: Rows by the kind of response, when the LLM was asked for each row.

    """

    method: str
    n_requested: int
    ids: tuple[str, ...]
    origins: tuple[str, ...]
    matrices: Mapping[Split, LabelMatrix]
    n_candidates: int = 0
    programs: tuple[Program, ...] = ()
    unselected: tuple[Program, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    supplements: tuple[ResolvedSupplement, ...] = ()
    runs: Mapping[str, Mapping[Split, ProgramRun]] = field(default_factory=dict)
    responses: Mapping[str, int] = field(default_factory=dict)

    def runs_of(self, column: int) -> tuple[ProgramRun, ...]:
        """Return the runs of the program in a column.

        Args:
            column: The column of the matrices.

        Returns:
            One run per split; none when no program voted.

        """
        return tuple(self.runs[self.programs[column].source].values()) if self.programs else ()


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelingResult:
    """Soft labels and what they were made from.

    Attributes:
        labels: The soft labels of train, and of each other split with votes.
        labeled_by: The label model, or the method when there is none.
        sources: The votes.
        calls: The LLM calls.
        class_balance: The class balance that the label model was given; None without a label model.
        labeled_votes: The votes on valid with its gold labels; None when they may not be used.

    """

    labels: Mapping[Split, SoftLabels]
    labeled_by: str
    sources: LabelSources
    calls: tuple[LLMCall, ...] = ()
    class_balance: tuple[float, ...] | None = None
    labeled_votes: LabeledVotes | None = None


@dataclass(kw_only=True)
class Method(Component, ABC):
    """A way to label a dataset: a `ProgramMethod`, a `VoteMethod` or a `SoftLabelMethod`."""

    uses: ClassVar[tuple[str, ...]] = ()
    """The configuration groups that alter the labels: they are checked first and are part of the run's key."""

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
    advice_without_programs: ClassVar[str] = "correct the programs or add others"
    """How to get programs, for the error message when too few were accepted."""

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


def program_votes(
    method: ProgramMethod,
    supplement: Supplement,
    generated: GeneratedPrograms,
    vetted: VettingResult,
    executed: ExecutionResult,
    selected: Sequence[int],
) -> LabelSources:
    """Collect the votes of the selected programs and the fate of all others.

    Args:
        method: The method that provided the programs.
        supplement: The configured supplement.
        generated: All candidates.
        vetted: The accepted and the rejected ones.
        executed: The programs that ran to their end, and their votes.
        selected: The columns of `executed` that vote.

    Returns:
        The votes, one column per selected program.

    """
    programs = tuple(executed.programs[column] for column in selected)
    return LabelSources(
        method=method.name,
        n_requested=method.n_requested(supplement),
        ids=tuple(program.id for program in programs),
        origins=tuple(program.origin for program in programs),
        matrices={
            split: LabelMatrix(votes=matrix.votes[:, list(selected)], n_classes=matrix.n_classes)
            for split, matrix in executed.matrices.items()
        },
        n_candidates=len(generated.candidates),
        programs=programs,
        unselected=tuple(p for column, p in enumerate(executed.programs) if column not in selected),
        rejected=vetted.rejected + executed.rejected,
        supplements=generated.supplements,
        runs=executed.runs,
    )


def require_programs(
    context: RunContext, method: ProgramMethod, vetted: VettingResult, executed: ExecutionResult
) -> None:
    """Stop the run when fewer programs ran to their end than the label model needs.

    Args:
        context: What the stages of the run share.
        method: The method that provided the programs.
        vetted: The accepted and the rejected candidates.
        executed: The programs that ran to their end.

    Raises:
        ProgramsError: There are too few programs; the message has the reasons of the first ten rejections.

    """
    model, n_accepted = context.label_model, len(executed.programs)
    if n_accepted >= model.min_programs:
        return
    n_candidates = len(vetted.accepted) + len(vetted.rejected)
    problem = f"{n_accepted or 'none'} of {n_candidates} programs {'was' if n_accepted < 2 else 'were'} accepted"
    advice = method.advice_without_programs
    if n_accepted:
        problem += f" and label_model={model.name} needs {model.min_programs}"
        advice += ", or use label_model=majority"
    rejected = vetted.rejected + executed.rejected
    reasons = [f"{one.origin}: {one.reason}" for one in rejected[:_MAX_REASONS]]
    if len(rejected) > _MAX_REASONS:
        reasons.append(f"and {len(rejected) - _MAX_REASONS} more")
    raise ProgramsError(f"{problem} ({'; '.join(reasons)}); {advice}.")


def aggregate(context: RunContext, sources: LabelSources, calls: tuple[LLMCall, ...] = ()) -> LabelingResult:
    """Combine votes into soft labels: the label model is fitted on train and applied to every split (Section 3.2).

    The class balance is taken from the gold labels of valid where they may be used, else estimated from the votes.

    Args:
        context: What the stages of the run share.
        sources: The votes.
        calls: The LLM calls that the votes are from.

    Returns:
        The soft labels of every split that has votes.

    Raises:
        ProgramsError: There are fewer programs than the label model needs.

    """
    model, gold = context.label_model, context.gold.use(Split.VALID, "class balance")
    if model.uses_gold:
        context.gold.use(Split.VALID, "label model")
    with context.progress.stage("label_model", f"fitting the label model {model.name}"):
        train, valid = sources.matrices[Split.TRAIN], sources.matrices.get(Split.VALID)
        fitted, balance, labeled_votes = fit_label_model(model, train, valid, gold)
        labels = {split: fitted.predict_proba(matrix) for split, matrix in sources.matrices.items()}
    return LabelingResult(
        labels=labels,
        labeled_by=model.name,
        sources=sources,
        calls=calls,
        class_balance=tuple(float(share) for share in balance),
        labeled_votes=labeled_votes,
    )
