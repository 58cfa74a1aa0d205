"""What a method results in: programs, votes, soft labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from alchemist_exp.concepts.source import ScoredConcepts
from alchemist_exp.core.types import IntArray, LabelMatrix, SoftLabels, Split
from alchemist_exp.label_models.auto import Choice
from alchemist_exp.label_models.base import LabeledVotes, LabelModel
from alchemist_exp.llm.types import LLMCall
from alchemist_exp.programs.files import file_names
from alchemist_exp.programs.types import Candidate, Program, Rejected
from alchemist_exp.refinement.types import RefinedPrograms
from alchemist_exp.sandbox.base import ProgramRun
from alchemist_exp.supplements.base import ResolvedSupplement


@dataclass(frozen=True, kw_only=True)
class GeneratedPrograms:
    """Programs before the final vetting.

    Attributes:
        candidates: All candidates in the order in which they were written, repairs included.
        supplements: The supplements of the prompts they were written for.
        calls: The LLM calls, each once.
        refined: The rounds of improvement; None without rounds.

    """

    candidates: tuple[Candidate, ...]
    supplements: tuple[ResolvedSupplement, ...] = ()
    calls: tuple[LLMCall, ...] = ()
    refined: RefinedPrograms | None = None

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why an accepted program does not vote after the rounds; by source."""
        return {} if self.refined is None else self.refined.left_out


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
        refined: The rounds of improvement; None without rounds.

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
    refined: RefinedPrograms | None = None

    @property
    def names(self) -> list[str]:
        """The name of each column for people: the program's file, or where the votes are from."""
        return file_names(self.origins) if self.programs else [*self.origins]

    def runs_of(self, column: int) -> tuple[ProgramRun, ...]:
        """Return the runs of the program in a column.

        Args:
            column: The column of the matrices.

        Returns:
            One run per split; none when no program voted.

        """
        return tuple(self.runs[self.programs[column].source].values()) if self.programs else ()


@dataclass(frozen=True, kw_only=True, eq=False)
class AskedRows:
    """The doubtful rows of train that an LLM was asked about, and the labels that its responses give.

    Attributes:
        rows: int64 array of shape (n_asked,): the rows, most doubtful first; rows of equal text are all among them.
        votes: int64 array of shape (n_asked,): the class that the response names; -1 (`ABSTAIN`) for none.
        n_doubtful: Rows that are uncovered or contested, asked about or not.
        calls: The LLM calls, each once.
        outcomes: The number of calls by outcome.

    """

    rows: IntArray
    votes: IntArray
    n_doubtful: int
    calls: tuple[LLMCall, ...]
    outcomes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelingResult:
    """Soft labels and what they were made from.

    Attributes:
        labels: The soft labels of train, and of each other split with votes.
        labeled_by: The label model, or the method when there is none.
        sources: The votes.
        calls: The LLM calls.
        class_balance: The class balance that the label model was given; None without a label model.
        label_model: The fitted label model; None without one.
        labeled_votes: The votes on valid with its gold labels; None when they may not be used.
        choice: Why `label_model` was chosen among others; None when the configuration names it.
        concepts: The concepts whose scores the programs read; None for rows that are no images.
        notes: Notes for the record, one or more sentences each.
        asked: The rows that an LLM labels in addition to programs; None for other methods.
        replaced: The labels of train that the end model learns, where they are not those in `labels`: some rows are
            labeled by an LLM or by a person.

    """

    labels: Mapping[Split, SoftLabels]
    labeled_by: str
    sources: LabelSources
    calls: tuple[LLMCall, ...] = ()
    class_balance: tuple[float, ...] | None = None
    label_model: LabelModel | None = None
    labeled_votes: LabeledVotes | None = None
    choice: Choice | None = None
    concepts: ScoredConcepts | None = None
    notes: tuple[str, ...] = ()
    asked: AskedRows | None = None
    replaced: SoftLabels | None = None

    @property
    def train_labels(self) -> SoftLabels:
        """The labels of train that the end model learns."""
        return self.labels[Split.TRAIN] if self.replaced is None else self.replaced

    def replace_labels(self, rows: IntArray, classes: IntArray, confidence: float) -> "LabelingResult":
        """Return the result with other labels of train for the end model; scores of the label model stay.

        Args:
            rows: int64 array of shape (n_replaced,): row numbers of train.
            classes: int64 array of shape (n_replaced,): their classes.
            confidence: The probability of these classes; the others share the rest.

        """
        probs, covered = np.array(self.train_labels.probs), np.array(self.train_labels.covered)
        probs[rows] = (1 - confidence) / max(probs.shape[1] - 1, 1)
        probs[rows, classes] = confidence
        covered[rows] = True
        return replace(self, replaced=SoftLabels(probs=probs, covered=covered))
