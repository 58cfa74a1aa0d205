"""Explains the rows that a report shows: what each vote does to the label, and the line that returned it.

The label model of the run is loaded for it, and the programs run again on these rows in the sandbox, where they are
traced. If one of the two is not possible, the report says why and has the rest.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

import numpy as np

from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.types import ABSTAIN, IntArray
from alchemist_exp.data.row_kind import TablePart
from alchemist_exp.labeling.beliefs import Belief, beliefs_of, effect_text, leave_one_out
from alchemist_exp.labeling.components import Consent, default_limits, make_sandbox
from alchemist_exp.labeling.explanation import enclosing_condition
from alchemist_exp.labeling.fitted_features import load_row_kind
from alchemist_exp.labeling.program_labeler import load_label_model, read_programs
from alchemist_exp.labeling.review import stored_columns
from alchemist_exp.labeling.row_labeler import naming_files
from alchemist_exp.labeling.run_files import StoredRun
from alchemist_exp.pipeline.artifacts import LABELS
from alchemist_exp.programs.files import file_names
from alchemist_exp.programs.types import Program
from alchemist_exp.report.blocks import RowExplanation, RowReason, shorten
from alchemist_exp.report.rows import LabeledRows
from alchemist_exp.sandbox.base import ProgramRun, Sandbox, source_lines
from alchemist_exp.sandbox.inputs import INPUTS, Inputs

MAX_PROGRAMS: Final = 40
"""Programs whose votes are explained."""

MAX_TRACE_CPU_S: Final = 10.0
"""CPU seconds that the programs took in the run for as many rows; if it is more, they do not run again."""

TRACE_WALL_S: Final = 20.0
"""Seconds that all programs together may run again. Those of another person may be slower than their record says."""

_PROGRAMS_AT_ONCE: Final = 10
_MIN_PROGRAM_WALL_S: Final = 1.0  # the smallest value of sandbox.program_wall_s

_SHOWN_CLASSES: Final = 5
_LINE_CHARS: Final = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanations:
    """The explanations of some rows.

    Attributes:
        rows: All rows of the run.
        classes: The class names.
        programs: The names of the programs in the order of the columns of votes.
        influences: The influence of each program; None where the record has none.
        beliefs: By row, the belief with all votes, and then without each of the first `MAX_PROGRAMS` programs.
        lines: By row and program, the line that returned the vote, with its source; where it is known.
        notes: What is not shown and why, one sentence each.

    """

    rows: LabeledRows
    classes: Sequence[str]
    programs: Sequence[str]
    influences: Sequence[float | None]
    beliefs: Mapping[int, Sequence[Belief]] = field(default_factory=dict)
    lines: Mapping[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def of_row(self, row: int) -> RowExplanation | None:
        """Return the explanation of a row.

        Args:
            row: Its position in `rows`.

        Returns:
            The explanation; None for a row that was not explained, or has no vote.

        """
        votes = self.rows.votes[row, :MAX_PROGRAMS]
        voting = np.flatnonzero(votes != ABSTAIN).tolist()
        if row not in self.beliefs or not voting:
            return None
        belief, *without = self.beliefs[row]
        voting.sort(key=lambda column: -(self.influences[column] or 0.0))
        probs = sorted(belief.probs.items(), key=lambda one: -one[1])[:_SHOWN_CLASSES]
        notes = []
        weak = int(self.rows.weak[row])
        if not belief.tied and belief.label != (None if weak == ABSTAIN else self.classes[weak]):
            notes.append("The votes do not explain the label of this row; an LLM or a person may have labeled it.")
        if (n_more := self.rows.votes.shape[1] - MAX_PROGRAMS) > 0:
            notes.append(f"The votes of {n_more:,} more programs are not listed.")
        reasons = []
        for column in voting:
            line, source = self.lines.get((row, column), (0, ""))
            influence = self.influences[column]
            effect = "" if belief.label is None else effect_text(without[column], belief.label)
            reasons.append(
                RowReason(
                    program=shorten(self.programs[column], 40),
                    href=f"program-{column}",
                    vote=shorten(self.classes[votes[column]], 40),
                    wrong=int(self.rows.gold[row]) not in (ABSTAIN, int(votes[column])),
                    influence="" if influence is None else f"{influence:.3f}",
                    without=shorten(effect, 60),
                    line=str(line or ""),
                    source=source,
                )
            )
        return RowExplanation(
            posterior=[(shorten(name, 40), f"{share:.3f}") for name, share in probs],
            reasons=reasons,
            notes=notes,
        )


def explain_rows(run: StoredRun, rows: LabeledRows, names: Sequence[str], chosen: Sequence[int]) -> Explanations:
    """Explain rows of a run.

    Args:
        run: The run, whose files were checked.
        rows: Its rows.
        names: The names of its programs by the record, in the order of the columns of votes.
        chosen: The positions of the rows that are explained.

    Returns:
        The explanations; without any if the run has no votes or no label model that can be loaded.

    """
    listed = run.record.programs["list"]
    influences = [value if type(value := one.get("influence")) in (int, float) else None for one in listed]
    found = Explanations(rows=rows, classes=run.classes, programs=names, influences=influences)
    if not chosen or not rows.votes.shape[1] or not any(one.get("file") for one in listed):  # votes of people
        return found
    try:
        programs = read_programs(run)
        if file_names(program.origin for program in programs) != [*names]:
            return replace(found, notes=["What each vote does is not shown: the record names other programs."])
        _, label_model = load_label_model(run, Consent(), len(programs))
        votes = rows.votes[np.array(chosen)]
        n_left_out = min(MAX_PROGRAMS, votes.shape[1])
        with naming_files(run.label_model):
            beliefs = beliefs_of(leave_one_out(label_model, votes, len(run.classes), n_left_out), run.classes)
    except AlchemistError as error:
        return replace(found, notes=[f"What each vote does is not shown: {error}"])
    size = 1 + n_left_out  # beliefs of a row: with all programs, then without each
    of_rows = {row: beliefs[place * size : (place + 1) * size] for place, row in enumerate(chosen)}
    found = replace(found, beliefs=of_rows)
    try:
        lines, notes = _lines(run, rows, programs, np.array(chosen))
    except AlchemistError as error:
        return replace(found, notes=[f"The lines that returned the votes are not shown: {error}"])
    return replace(found, lines=lines, notes=tuple(notes))


def _lines(
    run: StoredRun, rows: LabeledRows, programs: Sequence[Program], chosen: IntArray
) -> tuple[Mapping[tuple[int, int], tuple[int, str]], Sequence[str]]:
    """Run programs again on rows.

    Returns:
        The line that returned each vote, if the vote is the same again; and notes on what is not shown.

    Raises:
        AlchemistError: The programs cannot run on this machine, or would take too long.

    """
    kind = load_row_kind(run)
    if kind.name == "images":
        raise AlchemistError("images would have to be encoded; alchemist explain RUN --text IMAGE shows them.")
    took = [one.get("cpu_seconds") for one in run.record.programs["list"]]
    seconds = sum(value for value in took if isinstance(value, float)) * len(chosen) / max(1, rows.n_total)
    if seconds > MAX_TRACE_CPU_S:
        raise AlchemistError(
            f"the programs would take about {seconds:.0f} CPU seconds; alchemist explain RUN --row N shows those of "
            "one row."
        )
    path, columns = run.directory / LABELS, stored_columns(kind)
    with naming_files(path):  # its columns may have other types
        values = {name: rows.content[of].take(chosen).to_pylist() for name, of in columns.items()}
        parsed = kind.parse_columns(TablePart(file=path, columns=values), [*columns])
        with_content = [place for place, row in enumerate(parsed) if not kind.is_empty(row)]
        if not with_content:
            return {}, []
        inputs = INPUTS[kind.name](kind.program_input([parsed[place] for place in with_content]))
    sources = [program.source for program in programs[:MAX_PROGRAMS]]
    runs = _trace(make_sandbox(run, "auto", Consent()), sources, inputs, len(run.classes))
    lines = {}
    for column, traced in enumerate(runs):
        if traced.lines is None:
            continue
        described = cache(lambda line, source=sources[column]: _described(source, line))
        for place, vote, line in zip(with_content, traced.votes, traced.lines, strict=True):
            if line and vote == rows.votes[chosen[place], column]:
                lines[int(chosen[place]), column] = int(line), described(int(line))
    notes = []
    if n_untraced := sum(traced.lines is None for traced in runs):
        notes.append(
            f"The lines of {n_untraced:,} programs are not shown: they failed now, or the sandbox cannot trace."
        )
    if n_left := len(sources) - len(runs):
        notes.append(
            f"The lines of {n_left:,} programs are not shown: the programs took more than {TRACE_WALL_S:g} s. "
            "alchemist explain RUN --row N shows those of one row."
        )
    return lines, notes


def _trace(
    sandbox: Sandbox, sources: Sequence[str], inputs: Sequence[str] | Inputs, n_classes: int
) -> list[ProgramRun]:
    """Return the traced runs of the first programs, as many as end within `TRACE_WALL_S` seconds."""
    sandbox = replace(sandbox, memory_mb=default_limits()["memory_mb"])
    deadline = time.monotonic() + TRACE_WALL_S
    runs: list[ProgramRun] = []
    while len(runs) < len(sources):
        group = sources[len(runs) : len(runs) + _PROGRAMS_AT_ONCE]
        wall_s = (deadline - time.monotonic()) / math.ceil(len(group) / sandbox.n_workers)
        if wall_s < _MIN_PROGRAM_WALL_S:
            break
        limited = replace(sandbox, program_wall_s=min(sandbox.program_wall_s, wall_s))
        runs += limited.execute_traced(group, inputs, n_classes)
    return runs


def _described(source: str, line: int) -> str:
    """Return the text of a line and the condition around it."""
    text = shorten(source_lines(source)[line - 1].strip(), _LINE_CHARS)
    condition = enclosing_condition(source, line)
    return f"{text}  ({shorten(condition, _LINE_CHARS)})" if condition else text
