"""What a labeler is given and what it gives back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alchemist_exp.core.component import Component
from alchemist_exp.core.stages import Stages
from alchemist_exp.core.store import Store
from alchemist_exp.core.values import IntArray, LabelMatrix, SoftLabels, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.label_models.base import LabeledVotes, LabelModel, balance_of, estimated_balance
from alchemist_exp.llm.asking import Ask, Asker, Script
from alchemist_exp.llm.base import LLM, Exchange
from alchemist_exp.programs.base import Program, Rejected
from alchemist_exp.prompts.supplement import Supplement
from alchemist_exp.sandbox.base import ProgramRun, Sandbox


@dataclass(frozen=True, kw_only=True, eq=False)
class Workbench:
    """All that a labeler may use. valid_gold: None where the configuration or the data gives no validation labels."""

    data: TextData
    valid_gold: IntArray | None
    asker: Asker
    supplement: Supplement
    sandbox: Sandbox
    label_model: LabelModel
    store: Store
    stages: Stages

    def answer(self, ask: Ask) -> list[Exchange]:
        """The exchanges of `ask`, shown as they come."""
        with self.stages.stage("prompts", ask.what, len(ask.requests)) as advance:

            def show(_: Exchange) -> None:
                advance(1)
                self.stages.note(f"${self.asker.paid_usd:.4f}" if self.asker.paid_usd else "")

            return self.asker.ask(ask, show)


@dataclass(frozen=True, kw_only=True, eq=False)
class Voters:
    """Who voted: programs or human-crafted functions, their votes, and what was rejected on the way.

    ids: one per column of the matrices, for people. requested: how many were asked for. programs: one per column, or
    none. runs: by source, what happened on each split, of rejected programs too. answers: rows by what an LLM answered,
    where it was asked for each row.
    """

    source: str
    requested: int
    ids: tuple[str, ...]
    origins: tuple[str, ...]
    matrices: Mapping[Split, LabelMatrix]
    programs: tuple[Program, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    runs: Mapping[str, Mapping[Split, ProgramRun]] = field(default_factory=dict)
    answers: Mapping[str, int] = field(default_factory=dict)

    def runs_of(self, column: int) -> tuple[ProgramRun, ...]:
        """The runs of the program behind a column, one for each split; none where no program voted."""
        return tuple(self.runs[self.programs[column].source].values()) if self.programs else ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Labeling:
    """Soft labels of train, and of the other splits where the voters voted there, and how they came about.

    labeled_by: the label model, or what answered in its stead. balance: the class balance the label model was given,
    None where there was none. gold_used: which gold went where ("valid: class balance"). labeled: the votes on valid
    and its gold, None where it may not be used.
    """

    labels: Mapping[Split, SoftLabels]
    labeled_by: str
    voters: Voters
    exchanges: tuple[Exchange, ...]
    balance: tuple[float, ...] | None
    gold_used: tuple[str, ...]
    labeled: LabeledVotes | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The components that some methods use and others do not."""

    llm: LLM
    supplement: Supplement
    sandbox: Sandbox
    label_model: LabelModel


@dataclass(kw_only=True)
class Labeler(Component, ABC):
    """A method group member."""

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """Which of `parts` alter the labels; they are checked before anything is spent and are in the run's key."""
        return ()

    def script(self, data: TextData, llm: LLM, supplement: Supplement) -> Script[Any] | None:
        """What the LLM is asked; None where it is not."""
        return None

    @abstractmethod
    def label(self, bench: Workbench) -> Labeling:
        """Labels every split."""


def aggregate(voters: Voters, bench: Workbench, exchanges: tuple[Exchange, ...] = ()) -> Labeling:
    """Votes to soft labels: the label model is fitted on train and weighs the votes of every split.

    The class balance comes from the validation labels where they may be used, else from the votes themselves. Only a
    model that learns from labeled votes is given any.
    """
    train = voters.matrices[Split.TRAIN]
    gold, on_valid, model = bench.valid_gold, voters.matrices.get(Split.VALID), bench.label_model
    labeled = None if gold is None or on_valid is None else LabeledVotes(matrix=on_valid, gold=gold)
    balance = estimated_balance(train) if gold is None else balance_of(gold, train.n_classes)
    with bench.stages.stage("label_model", f"fitting the label model {model.name}"):
        model = model.fit(train, balance, labeled if model.learns_from_gold else None)
        labels = {split: model.predict_proba(matrix) for split, matrix in voters.matrices.items()}
    return Labeling(
        labels=labels,
        labeled_by=model.name,
        voters=voters,
        exchanges=exchanges,
        balance=tuple(float(share) for share in balance),
        gold_used=(
            *(() if gold is None else ("valid: class balance",)),
            *(("valid: label model",) if model.learns_from_gold else ()),
        ),
        labeled=labeled,
    )
