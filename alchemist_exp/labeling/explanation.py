"""Explains the labels of a row: the votes, the line that each program returned at, and what the label depends on."""

import ast
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.end_model.class_offsets import add_offsets
from alchemist_exp.end_model.prediction import mix
from alchemist_exp.labeling.beliefs import Belief, belief_of, beliefs_of, leave_one_out
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.labelers import label_offsets, mixing_weight
from alchemist_exp.labeling.model_labeler import ModelLabeler, model_labeler
from alchemist_exp.labeling.program_labeler import ProgramLabeler, program_labeler
from alchemist_exp.labeling.row_labeler import naming_files
from alchemist_exp.labeling.run_files import StoredRun, read_object, take
from alchemist_exp.labeling.stored_rows import StoredRow
from alchemist_exp.pipeline.saved_components import PROGRAMS_FILE
from alchemist_exp.programs.files import vote_columns
from alchemist_exp.sandbox.base import Outcome, ProgramRun, ProgramStatus, source_lines
from alchemist_exp.sandbox.inputs import INPUTS

MAX_PARSED_CHARS: Final = 100_000
"""A larger program is not parsed, because that takes much memory."""


@dataclass(frozen=True, kw_only=True)
class ExplainedVote:
    """What a program did on a row.

    Attributes:
        program: The name of its file.
        influence: The share of covered rows of train whose label depends on it; None where the record has none.
        vote: The class; None for none.
        outcome: What became of the call, see `sandbox.base.Outcome`.
        message: The error; "" without one. The program may have chosen the words.
        line: The number of the line at which the program ended, from 1; None where it is not known. It is what the
            process of the program reports, so a hostile program may name another of its lines.
        source: The text of that line.
        condition: The condition of the innermost `if` around that line; "" for none.
        without: The belief of the label model when the program abstains on the row; None where it has no vote.

    """

    program: str
    influence: float | None
    vote: str | None
    outcome: str
    message: str
    line: int | None
    source: str
    condition: str
    without: Belief | None = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a row has its labels.

    Attributes:
        votes: The votes of the programs; empty if the run has no programs.
        label_model: The belief of the label model; None if the run has no programs.
        distilled: The belief of the distilled model, the mean over its seeds; None if the run has none.
        combined: The mixture of both in a run with predict=combine; None in another run.

    """

    votes: Sequence[ExplainedVote]
    label_model: Belief | None
    distilled: Belief | None
    combined: Belief | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Explainer:
    """Explains rows with what is stored of a run.

    Attributes:
        kind: The kind of the rows.
        classes: The class names.
        voting: The programs and the label model; None if the run has none.
        model: The distilled model; None if the run has none.
        weight: The weight of the label model in the predictions of the run; 0 for none.
        class_offsets: See `add_offsets`, for the label model in these predictions.
        influences: The influence of programs by the name of their file.
        notes: What the user should know, one sentence each.

    """

    kind: RowKind
    classes: tuple[str, ...]
    voting: ProgramLabeler | None
    model: ModelLabeler | None
    weight: float
    class_offsets: tuple[float, ...]
    influences: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def vote_columns(self) -> list[str]:
        """The columns of the labels file with the votes of the programs."""
        return vote_columns(self.voting.programs if self.voting else ())

    def explain(self, row: str) -> Explanation:
        """Explain a row that has content. The programs run in the sandbox, where they are traced.

        Args:
            row: The row.

        Returns:
            The explanation.

        Raises:
            AlchemistError: The row cannot be labeled.

        """
        probs = None if self.model is None else self.model.label([row]).probs
        distilled = None if probs is None else belief_of(probs[0], int(probs[0].argmax()), self.classes)
        if self.voting is None:
            return Explanation(votes=(), label_model=None, distilled=distilled, combined=None)
        given, kind = self.voting.program_rows([row])
        inputs = INPUTS[kind.name](kind.program_input(given))
        runs = self.voting.sandbox.execute_traced(self.voting.sources, inputs, len(self.classes))
        # As in `ProgramLabeler`: a program that did not finish abstains.
        votes = np.array([run.votes[0] if run.status is ProgramStatus.OK else ABSTAIN for run in runs], np.int8)
        with naming_files(self.voting.directory):
            labels = leave_one_out(self.voting.label_model, votes[np.newaxis], len(self.classes))
        beliefs = beliefs_of(labels, self.classes)
        combined = None
        if probs is not None and self.weight:
            mixed = mix(probs, add_offsets(labels.select(np.array([0])), self.class_offsets), self.weight)[0]
            combined = belief_of(mixed, int(mixed.argmax()), self.classes)
        return Explanation(
            votes=[
                self._explain_vote(column, run, belief)
                for column, (run, belief) in enumerate(zip(runs, beliefs[1:], strict=True))
            ],
            label_model=beliefs[0],
            distilled=distilled,
            combined=combined,
        )

    def _explain_vote(self, column: int, run: ProgramRun, without: Belief) -> ExplainedVote:
        """Explain the run of a program on one row."""
        assert self.voting is not None
        (outcome,) = run.outcomes
        line = 0 if run.lines is None else int(run.lines[0])
        voted = outcome is Outcome.VOTE and run.status is ProgramStatus.OK
        name, source = self.voting.programs[column], self.voting.sources[column]
        return ExplainedVote(
            program=name,
            influence=self.influences.get(name),
            vote=self.classes[run.votes[0]] if voted else None,
            outcome=str(outcome),
            message=run.messages.get(outcome, run.detail).removeprefix("row 0: "),
            line=line or None,
            source=source_lines(source)[line - 1] if line else "",
            condition=enclosing_condition(source, line) if line else "",
            without=without if voted else None,
        )


def make_explainer(run: StoredRun, consent: Consent, sandbox_mode: str) -> Explainer:
    """Return what explains the rows of a run.

    Args:
        run: The run, whose files were checked.
        consent: What the user allows.
        sandbox_mode: The mode of the sandbox on this machine.

    Returns:
        The explainer.

    Raises:
        AlchemistError: The run has neither programs nor a distilled model, or see `model_labeler` and
            `program_labeler`.

    """
    path = run.label_model / PROGRAMS_FILE
    has_programs = path.exists() and bool(take(read_object(path), "programs", list, path))
    has_model = os.path.lexists(run.model)
    if not has_programs and not has_model:
        raise ConfigError(
            f"the run {single_line(str(run.directory))} has neither programs that can vote nor a distilled model, so "
            "there is nothing to explain."
        )
    voting = program_labeler(run, consent, sandbox_mode) if has_programs else None
    model = model_labeler(run, consent) if has_model else None
    notes = [note for labeler in (voting, model) if labeler is not None for note in labeler.notes]
    if voting is None:
        notes.append("This run has no programs that can vote on a row, so only its distilled model is shown.")
    labeler = voting or model
    assert labeler is not None
    return Explainer(
        kind=labeler.kind,
        classes=run.classes,
        voting=voting,
        model=model,
        weight=mixing_weight(run) if voting and model else 0.0,
        class_offsets=label_offsets(run) if voting and model else (),
        influences=_influences(run),
        notes=tuple(dict.fromkeys(notes)),
    )


def enclosing_condition(source: str, line: int) -> str:
    r"""Return the condition of the innermost `if` statement around a line of a program.

    Args:
        source: The program.
        line: The number of the line, from 1.

    Returns:
        The condition on one line, in "else of if ..." for a line after its else; "" without one, or for a program that
        is too large to be parsed here.

    Example:
        >>> enclosing_condition("if a and (\n    b):\n    x = 1\nelse:\n    x = 2\n", 5)
        'else of if a and ( b)'

    """
    around = [one for one in _if_statements(source) if one.body[0].lineno <= line <= (one.end_lineno or 0)]
    if not around:
        return ""
    found = max(around, key=lambda one: one.lineno)
    condition = " ".join((ast.get_source_segment(source, found.test) or "").split())
    is_else = bool(found.orelse) and line >= found.orelse[0].lineno
    return f"else of if {condition}" if is_else else f"if {condition}"


@lru_cache(maxsize=4)  # a report asks for many lines of a program
def _if_statements(source: str) -> tuple[ast.If, ...]:
    """Return the `if` statements of a program; none of a program that cannot be parsed here."""
    if len(source) > MAX_PARSED_CHARS:
        return ()
    try:
        with warnings.catch_warnings():  # of escapes in strings
            warnings.simplefilter("ignore")
            return tuple(one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.If))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()


def differences(explanation: Explanation, stored: StoredRow, columns: Sequence[str]) -> list[str]:
    """Return what differs from the labels of the run.

    Args:
        explanation: The explanation of a row.
        stored: The row in the run.
        columns: The column of votes of each program.

    Returns:
        One sentence for each difference.

    """
    sentences = []
    changed = [
        vote.program
        for vote, column in zip(explanation.votes, columns, strict=True)
        if vote.vote != stored.votes[column]
    ]
    if changed:
        sentences.append(
            f"These programs vote differently than in the run: {', '.join(changed)}; their votes may depend on chance "
            "or on the speed of the machine."
        )
    now = explanation.label_model
    if now is not None and not now.tied and now.label != stored.weak_label:
        sentences.append(
            f"In the run, the label of this row is {stored.weak_label or 'none'}; if an LLM or a person labeled it, "
            "the votes do not explain that label."
        )
    return sentences


def _influences(run: StoredRun) -> dict[str, float]:
    """Return the influence of programs in the record, by the name of their file."""
    listed = run.record.programs.get("list") if isinstance(run.record.programs, dict) else None
    return {
        one["file"]: float(one["influence"])
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict) and isinstance(one.get("file"), str) and type(one.get("influence")) in (int, float)
    }
