"""What a labeler is given and what it gives back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.component import Component
from alchemist_exp.core.progress import StageProgress
from alchemist_exp.core.types import FloatArray, IntArray, LabelMatrix, SoftLabels, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.label_models.base import LabeledVotes, LabelModel, class_balance_from_gold, class_balance_from_votes
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch
from alchemist_exp.llm.types import LLM, LLMCall
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.selection import Selection
from alchemist_exp.programs.trials import Trials
from alchemist_exp.programs.types import Program, Rejected
from alchemist_exp.programs.vetting import Vetting
from alchemist_exp.sandbox.base import ProgramRun, Sandbox
from alchemist_exp.supplements.base import Desk, ResolvedSupplement, Supplement


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The components that some methods use and others do not."""

    llm: LLM
    supplement: Supplement
    sandbox: Sandbox
    vetting: Vetting
    repair: Repair
    selection: Selection
    label_model: LabelModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Workbench:
    """All that a labeler may use.

    gold: what the configuration lets a stage see, by split; never test. valid_gold: None where there is none of valid.
    features: float32 (n, d) of every split, made when they are first asked for.
    """

    data: TextData
    gold: Mapping[Split, IntArray]
    llm_client: LLMClient
    parts: Parts
    store: ArtifactCache
    stages: StageProgress
    features: Callable[[], Mapping[Split, FloatArray]]

    @property
    def valid_gold(self) -> IntArray | None:
        """int64 (n,): the validation labels."""
        return self.gold.get(Split.VALID)

    def desk(self, trials: Trials) -> Desk:
        """What a script is written from."""
        return Desk(data=self.data, gold=self.gold, llm=self.llm_client.llm, trials=trials, store=self.store)

    def answer(self, batch: RequestBatch) -> list[LLMCall]:
        """The calls of `batch`, shown as they come."""
        with self.stages.stage("prompts", batch.description, len(batch.requests)) as advance:

            def show(_: LLMCall) -> None:
                advance(1)
                self.stages.note(f"${self.llm_client.paid_usd:.4f}" if self.llm_client.paid_usd else "")

            return self.llm_client.complete(batch, show)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSources:
    """Who voted: programs or human-crafted functions, their votes, and what was lost on the way.

    ids: one per column of the matrices, for people. requested: how many were asked for. written: how many candidates
    there were, repairs included. programs: one per column, or none. spare: accepted programs that were not chosen to
    vote. runs: by source, what happened on each split, of rejected programs too. supplied: the supplements that the
    programs were written with. answers: rows by what an LLM answered, where it was asked for each row.
    notes: what a person should know of how it came about.
    """

    source: str
    requested: int
    ids: tuple[str, ...]
    origins: tuple[str, ...]
    matrices: Mapping[Split, LabelMatrix]
    written: int = 0
    programs: tuple[Program, ...] = ()
    spare: tuple[Program, ...] = ()
    supplied: tuple[ResolvedSupplement, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    runs: Mapping[str, Mapping[Split, ProgramRun]] = field(default_factory=dict)
    answers: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def runs_of(self, column: int) -> tuple[ProgramRun, ...]:
        """The runs of the program behind a column, one for each split; none where no program voted."""
        return tuple(self.runs[self.programs[column].source].values()) if self.programs else ()


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelingResult:
    """Soft labels of train, and of the other splits where the voters voted there, and how they came about.

    labeled_by: the label model, or what answered in its stead. balance: the class balance the label model was given,
    None where there was none. gold_used: which gold went where ("valid: class balance"). labeled: the votes on valid
    and its gold, None where it may not be used.
    """

    labels: Mapping[Split, SoftLabels]
    labeled_by: str
    voters: LabelSources
    calls: tuple[LLMCall, ...]
    balance: tuple[float, ...] | None
    gold_used: tuple[str, ...]
    labeled: LabeledVotes | None = None


@dataclass(kw_only=True)
class Method(Component, ABC):
    """A method group member."""

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """Which of `parts` alter the labels; they are checked before anything is spent and are in the run's key."""
        return ()

    def most_programs(self, parts: Parts) -> int | None:
        """How many programs can vote at most; None where that is not known before, or none do."""
        return None

    def script(self, desk: Desk, parts: Parts) -> Dialogue[Any] | None:
        """What the LLM is asked; None where it is not."""
        return None

    @abstractmethod
    def label(self, bench: Workbench) -> LabelingResult:
        """Labels every split."""


def aggregate(voters: LabelSources, bench: Workbench, calls: tuple[LLMCall, ...] = ()) -> LabelingResult:
    """Votes to soft labels: the label model is fitted on train and weighs the votes of every split.

    The class balance comes from the validation labels where they may be used, else from the votes themselves. Only a
    model that learns from labeled votes is given any.
    """
    train = voters.matrices[Split.TRAIN]
    gold, on_valid, model = bench.valid_gold, voters.matrices.get(Split.VALID), bench.parts.label_model
    labeled = None if gold is None or on_valid is None else LabeledVotes(matrix=on_valid, gold=gold)
    balance = class_balance_from_votes(train) if gold is None else class_balance_from_gold(gold, train.n_classes)
    with bench.stages.stage("label_model", f"fitting the label model {model.name}"):
        model = model.fit(train, balance, labeled if model.uses_gold else None)
        labels = {split: model.predict_proba(matrix) for split, matrix in voters.matrices.items()}
    return LabelingResult(
        labels=labels,
        labeled_by=model.name,
        voters=voters,
        calls=calls,
        balance=tuple(float(share) for share in balance),
        gold_used=(
            *(() if gold is None else ("valid: class balance",)),
            *(("valid: label model",) if model.uses_gold else ()),
        ),
        labeled=labeled,
    )
