"""Trials of rounds: a run looks at the votes of the programs, a plan assumes the outcome."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Final

import numpy as np

from alchemist_exp.context import RunContext
from alchemist_exp.core.types import IntArray, LabelMatrix, SoftLabels, Split
from alchemist_exp.evaluation.metrics import score
from alchemist_exp.label_models.fit import fit_label_model, predict_labels
from alchemist_exp.programs.execution import ExecutionResult, execute
from alchemist_exp.programs.trials import AssumedTrials, RunTrials
from alchemist_exp.programs.types import Program
from alchemist_exp.prompts.filling import MAX_EXEMPLAR_CHARACTERS
from alchemist_exp.refinement.gates import MIN_COVERAGE_GAIN, BankVotes, choose
from alchemist_exp.refinement.prompts import ShownRow, refine_request
from alchemist_exp.refinement.settings import Rounds, Show
from alchemist_exp.refinement.shown_rows import shown_row, spread, votes_text
from alchemist_exp.refinement.types import Verdict
from alchemist_exp.refinement.weaknesses import (
    WORDS_OF_CLASS,
    BankState,
    Weakness,
    WeaknessKind,
    bank_state,
    majority_vote,
)
from alchemist_exp.refinement.words import N_WORDS, WordCounts

SHOWN_ROWS: Final = "rows shown to the LLM"
"""The purpose of gold labels that a prompt shows."""

_TOLERANCE: Final = 1e-3
"""How much better the label model has to be on valid after a round, or how much worse it may be with more coverage."""

_WORD_CHARS: Final = 10
"""Letters of a word in the prompts of a plan; the recorded prompts have 7 on average."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRounds(RunTrials):
    """Trials of a run's rounds.

    Attributes:
        settings: The configured rounds.
        request: The prompt that asks for a program, without supplement.

    """

    settings: Rounds
    request: str
    _shown: set[int] = field(default_factory=set)

    def prompts(self, programs: Sequence[Program]) -> Iterator[tuple[Weakness, str]]:
        """Yield the prompts for further programs; see `RoundTrials.prompts`."""
        context = self.context
        matrices = execute(context, programs).matrices
        train, valid = self._of_sample(matrices[Split.TRAIN]), matrices.get(Split.VALID)
        gold = context.gold.use(Split.VALID, "scores by class shown to the LLM") if valid is not None else None
        with context.progress.stage("refine", "looking for weak labels"):
            state = bank_state(train, self._words, valid, gold)
        task, kind, n_rows = context.data.task, context.data.kind, self.settings.n_rows
        for weakness in state.weaknesses:
            shown: list[ShownRow] = []
            if self.settings.show is Show.rows:
                shown = self._wrong_rows(weakness, valid, gold) if valid is not None and gold is not None else []
                shown = shown or [
                    ShownRow(text=shown_row(kind, self._rows[row]), votes=votes_text(train, row, task.classes))
                    for row in spread(np.flatnonzero(weakness.rows), n_rows)
                ]
            yield weakness, refine_request(context.prompts, task, self.request, state, weakness, shown)

    def judge(self, before: Verdict | None, added: Sequence[Program]) -> Verdict:
        """Choose among the programs, fit the label model, and revert the round unless it is better."""
        first = added if before is None else before.programs
        sources = {program.source for program in first}
        # With vetting=off the LLM may send a program of the set again, which has a single column.
        added = [program for program in added if program.source not in sources]
        executed = execute(self.context, (*first, *added))
        votes = BankVotes(train=self._of_sample(executed.matrices[Split.TRAIN]))
        if (gold := self.context.gold.use(Split.VALID, "rounds")) is not None:
            rows = self._deciding_rows()
            votes = replace(votes, valid=executed.matrices[Split.VALID].select(rows), gold=gold[rows])
        columns = {program.source: column for column, program in enumerate(executed.programs)}
        present = sorted({columns[program.source] for program in first if program.source in columns})
        if before is None:
            return self._verdict(executed, present, votes.value(present))
        new = sorted({columns[program.source] for program in added if program.source in columns})
        with self.context.progress.stage("refine", "choosing programs"):
            chosen, reasons = choose(votes, present, new, self.context.label_model.min_programs)
        left_out = {executed.programs[column].source: reason for column, reason in reasons.items()}
        if chosen == present:
            return _reverted(before, added, left_out, "no program of the round makes the labels better")
        after = self._verdict(executed, chosen, votes.value(chosen), left_out)
        if reason := self._no_gain(before, after):
            return _reverted(before, added, left_out, reason)
        return after

    def _verdict(
        self, executed: ExecutionResult, chosen: Sequence[int], value: float, left_out: dict[str, str] | None = None
    ) -> Verdict:
        """Fit the label model on the votes of some programs."""
        context = self.context
        matrices = {
            split: LabelMatrix(votes=matrix.votes[:, list(chosen)], n_classes=matrix.n_classes)
            for split, matrix in executed.matrices.items()
        }
        labels: dict[Split, SoftLabels] = {}
        if len(chosen) >= context.label_model.min_programs:
            gold = context.gold.use(Split.VALID, "class balance")
            with context.progress.stage("label_model", f"fitting the label model {context.label_model.name}"):
                train = self._of_sample(matrices[Split.TRAIN])
                fitted, _, _ = fit_label_model(context.label_model, train, matrices.get(Split.VALID), gold)
                labels = {split: predict_labels(fitted, matrix) for split, matrix in matrices.items()}
        return Verdict(
            programs=tuple(executed.programs[column] for column in chosen),
            left_out=left_out or {},
            reverted="",
            value=value,
            labels=labels,
        )

    def _no_gain(self, before: Verdict, after: Verdict) -> str:
        """Return why the labels of the label model are not better than before; "" if they are."""
        gold, rows = self.context.gold.use(Split.VALID, "rounds"), self._deciding_rows()
        # A model that has learned from these labels cannot be judged by them; the value is out of fold.
        if gold is None or self.context.label_model.uses_gold or not (before.labels and after.labels):
            return ""
        means = []
        for verdict in (before, after):
            labels = verdict.labels[Split.VALID].select(rows)
            # A row without a label gets the most frequent class.
            predicted = np.where(labels.covered, labels.hard(), np.bincount(gold[rows]).argmax())
            found = score(gold[rows], predicted, n_classes=labels.probs.shape[1], positive=None)
            means.append(0.0 if found is None else (found.accuracy + found.macro_f1) / 2)
        first, then = means
        old, new = (float(verdict.labels[Split.TRAIN].covered.mean()) for verdict in (before, after))
        needed = first - _TOLERANCE if new >= old + MIN_COVERAGE_GAIN else first + _TOLERANCE
        if then >= needed:
            return ""
        return f"the label model is not better on valid (mean of accuracy and macro-F1 {then:.3f}, before {first:.3f})"

    def _deciding_rows(self) -> IntArray:
        """Return the rows of valid that no prompt has shown."""
        rows = np.arange(len(self.context.data.texts(Split.VALID)))
        return rows[~np.isin(rows, list(self._shown))]

    def _of_sample(self, train: LabelMatrix) -> LabelMatrix:
        sample = self.context.data.fit_sample
        return train if sample is None else train.select(sample)

    @cached_property
    def _rows(self) -> Sequence[str]:
        """The rows of train that are looked at."""
        texts, sample = self.context.data.texts(Split.TRAIN), self.context.data.fit_sample
        return texts if sample is None else [texts[row] for row in sample]

    @cached_property
    def _words(self) -> WordCounts:
        return WordCounts.of([self.context.data.kind.content(row) for row in self._rows])

    def _wrong_rows(self, weakness: Weakness, valid: LabelMatrix, gold: IntArray) -> list[ShownRow]:
        """Return rows of valid that are of a weak class and labeled otherwise; from then on they decide nothing."""
        if weakness.kind is not WeaknessKind.CLASS:
            return []
        context, (label,) = self.context, weakness.classes
        rows = spread(np.flatnonzero((gold == label) & (majority_vote(valid) != label)), self.settings.n_rows)
        if rows:
            context.gold.use(Split.VALID, SHOWN_ROWS)
            self._shown.update(rows)
        texts, classes = context.data.texts(Split.VALID), context.data.task.classes
        return [
            ShownRow(
                text=shown_row(context.data.kind, texts[row]),
                votes=votes_text(valid, row, classes),
                known=classes[label],
            )
            for row in rows
        ]


@dataclass(frozen=True, kw_only=True)
class AssumedRounds(AssumedTrials):
    """Trials of a plan's rounds: each round asks for as many programs as it may, and none is reverted.

    Attributes:
        context: What the stages of the run share.
        settings: The configured rounds.
        request: The prompt that asks for a program, without supplement.

    """

    context: RunContext
    settings: Rounds
    request: str
    _n_prompts: "count[int]" = field(default_factory=count)

    def prompts(self, programs: Sequence[Program]) -> Iterator[tuple[Weakness, str]]:
        """Yield long prompts without end; their words are placeholders, so the cache has no response to them."""
        word = "x" * _WORD_CHARS
        n_classes = self.context.n_classes
        weakness = Weakness(
            kind=WeaknessKind.UNCOVERED,
            share=1.0,
            rows=np.ones(0, dtype=bool),
            words=[word] * N_WORDS,
            class_words=dict.fromkeys(range(n_classes), [word] * WORDS_OF_CLASS),
            balance=[1 / n_classes] * n_classes,
        )
        shown = []
        if self.settings.show is Show.rows:
            row = "word " * (MAX_EXEMPLAR_CHARACTERS // 5)
            shown = [ShownRow(text=row, votes=", ".join(self.context.data.task.classes))] * self.settings.n_rows
        while True:
            state = BankState(
                n_programs=next(self._n_prompts),  # makes each prompt another one
                n_rows=len(self.data.texts(Split.TRAIN)),
                coverage=1.0,
                scores=None,
                balance=None,
                weaknesses=(weakness,),
            )
            task = self.context.data.task
            yield weakness, refine_request(self.context.prompts, task, self.request, state, weakness, shown)

    def judge(self, before: Verdict | None, added: Sequence[Program]) -> Verdict:
        """Accept every round and all of its programs."""
        return Verdict(programs=tuple(added), left_out={}, reverted="", value=0.0, labels={})


def _reverted(before: Verdict, added: Sequence[Program], left_out: dict[str, str], reason: str) -> Verdict:
    """Return the outcome of the round before, as that of a round that is reverted for a reason."""
    left_out = {program.source: left_out.get(program.source, f"the round is reverted: {reason}") for program in added}
    return replace(before, left_out=left_out, reverted=reason)
