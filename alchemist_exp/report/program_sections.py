"""The sections of a run's page on programs: the funnel, the table, sources with wrong rows, agreement."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from alchemist_exp.report.blocks import (
    Block,
    BulletList,
    Cell,
    Code,
    Columns,
    Details,
    Figure,
    PageSection,
    PageTable,
    Paragraph,
    TableColumn,
    shorten,
)
from alchemist_exp.report.charts import Bar, bars, heat_map
from alchemist_exp.report.measures import agreement
from alchemist_exp.report.samples import RowSampler
from alchemist_exp.report.source import highlight, read_source
from alchemist_exp.results.layout import number_text
from alchemist_exp.results.record import RunRecord
from alchemist_exp.results.report import UNKNOWN

MAX_PROGRAMS: Final = 100
"""Programs that are listed with their sources."""

MAX_AGREEMENT: Final = 40
MAX_REJECTED: Final = 50
SOURCE_CHARS: Final = 350_000
"""Characters of all sources together; highlighting triples them."""

_REASON_CHARS: Final = 400
_NUMBERS: Final = ("coverage", "overlap", "conflict", "accuracy", "influence")
_EXPLAINED: Final = {
    "coverage": "share of rows of train on which the program votes",
    "overlap": "share of rows on which it and another program vote",
    "conflict": "share of rows on which another program votes for another class",
    "accuracy": "share of its votes that are right; on valid if train has no gold labels",
    "micro F1": "over the rows on which the program votes; on valid if train has no gold labels",
    "influence": "share of labeled rows whose label changes or is lost without its votes",
}


def funnel_section(record: RunRecord) -> PageSection:
    """Return how many programs were requested, written, accepted and selected, and why others were not.

    Args:
        record: The record of a run whose method uses programs.

    """
    programs = record.programs
    counts = [
        (name, programs[key])
        for name, key in (
            ("requested", "requested"),
            ("responses", "candidates"),
            ("accepted", "accepted"),
            ("selected", "selected"),
        )
    ]
    known = [(name, int(count)) for name, count in counts if count is not None]
    rows = [Bar(label=name, value=count, text=f"{count:,}") for name, count in known]
    lost = [
        Bar(label=f"rejected: {shorten(stage.replace('_', ' '), 18)}", value=n, text=f"{n:,}", wrong=True)
        for stage, n in programs["rejected_by_stage"].items()
    ]
    shown = [*rows[:2], *lost, *rows[2:]]
    maximum = max((row.value for row in shown), default=1.0)
    text = "Programs: " + ", ".join(f"{count:,} {name}" for name, count in known) + "."
    rejected = [
        f"{shorten(one['origin'])}, {shorten(one['stage']).replace('_', ' ')}: {shorten(one['reason'], _REASON_CHARS)}"
        for one in programs["rejected"]
    ]
    n_more = len(rejected) - MAX_REJECTED
    listed = rejected[:MAX_REJECTED] + ([f"and {n_more:,} more, see record.json"] if n_more > 0 else [])
    reasons = BulletList(items=listed, title=f"Rejected programs ({len(rejected):,})")
    none = Paragraph(text="No program was rejected.")
    return PageSection(
        id="funnel",
        title="From requests to programs",
        lead=f"Sandbox: {programs['sandbox']}.",
        blocks=[
            Columns(
                blocks=[
                    Figure(svg=bars(shown, maximum=maximum, description=text), caption=text),
                    reasons if rejected else none,
                ]
            )
        ],
    )


def programs_section(record: RunRecord, directory: Path, sampler: RowSampler | None, share: float) -> PageSection:
    """Return the table of programs, and the source and wrong rows of each.

    Args:
        record: The record of a run whose method uses programs or votes of people.
        directory: The directory of the programs, whose files have been checked.
        sampler: Chooses rows; None if the rows of the run are not known.
        share: The share of the usual amount of source code that is shown.

    """
    programs = record.programs["list"]
    of_votes = "micro F1" if record.multi_label else "accuracy"
    blocks: list[Block] = [_table(programs, record.data["classes"], of_votes)]
    budget = SOURCE_CHARS * share
    for number, program in enumerate(programs[:MAX_PROGRAMS]):
        inner: list[Block] = []
        if program.get("wrong"):
            inner.append(Paragraph(text=shorten(program["wrong"], _REASON_CHARS), warning=True))
        messages = program.get("error_messages") or {}
        if messages:
            items = [f"{shorten(kind)}: {shorten(text, _REASON_CHARS)}" for kind, text in messages.items()]
            inner.append(BulletList(items=items, title="First error of each kind", warning=True))
        source = read_source(directory, program.get("file"))
        if source is not None:
            label = f"programs/{program['file']}"
            if len(source) > budget:
                inner.append(Paragraph(text=f"The source is left out here to keep this page small. See {label}."))
            else:
                budget -= len(source)
                inner.append(Code(source=highlight(source), label=shorten(label)))
        if sampler and (wrong := sampler.wrong_rows(number)):
            inner.append(wrong)
        if inner:
            blocks.append(
                Details(id=_id(number), summary=_name(program), detail=_summary(program, of_votes), blocks=inner)
            )
    if (n_more := len(programs) - MAX_PROGRAMS) > 0:
        blocks.append(Paragraph(text=f"Sources of {n_more:,} more programs are in the directory of the run."))
    if sampler and sampler.rows.votes.shape[1] > 1:
        blocks.append(_agreement(sampler))
    return PageSection(
        id="programs",
        title="Programs",
        lead="Shares are over rows of train. Open a program to read its source and rows that it gets wrong. Wrong rows "
        "are not taken from test, so that a correction does not fit the test rows.",
        blocks=blocks,
    )


def _id(number: int) -> str:
    return f"program-{number}"


def _name(program: Mapping[str, Any]) -> str:
    return shorten(program.get("file") or program["origin"])


def _summary(program: Mapping[str, Any], of_votes: str) -> str:
    names = {"coverage": "coverage", "accuracy": of_votes}
    parts = [f"{name} {program[key]:.3f}" for key, name in names.items() if program.get(key) is not None]
    return ", ".join(parts + [f"{count:,} {shorten(kind)}" for kind, count in program["errors"].items()])


def _table(programs: Sequence[Mapping[str, Any]], classes: Sequence[str], of_votes: str) -> PageTable:
    """Return the table of programs; `of_votes` names the score in `accuracy`."""
    seconds = any(program.get("cpu_seconds") is not None for program in programs)
    rows = []
    for number, program in enumerate(programs):
        polarity = program.get("polarity") or []
        votes_for = "all classes" if len(polarity) == len(classes) else ", ".join(shorten(one, 24) for one in polarity)
        errors = [f"{count:,} {shorten(kind)}" for kind, count in program["errors"].items()]
        errors += ["nondeterministic"] * bool(program.get("nondeterministic"))
        used = program.get("cpu_seconds")
        cells = [
            Cell(
                text=_name(program),
                wrong=bool(program.get("wrong")),
                href=_id(number) if program.get("file") and number < MAX_PROGRAMS else "",
            ),
            *(Cell(text=number_text(program.get(key)), sort=program.get(key) or 0.0) for key in _NUMBERS),
            Cell(text=votes_for or UNKNOWN),
            *([Cell(text=UNKNOWN if used is None else f"{used:.2f}", sort=used or 0.0)] if seconds else []),
            Cell(text=", ".join(errors) or "none", wrong=bool(errors)),
        ]
        rows.append(cells)
    return PageTable(
        columns=[
            TableColumn(name="program", numeric=False),
            *(
                TableColumn(name=name, title=_EXPLAINED[name])
                for name in (of_votes if key == "accuracy" else key for key in _NUMBERS)
            ),
            TableColumn(name="votes for", numeric=False),
            *([TableColumn(name="CPU seconds", title="of all rows of all splits")] if seconds else []),
            TableColumn(name="errors", numeric=False, title="rows without a usable return value"),
        ],
        rows=rows,
    )


def _agreement(sampler: RowSampler) -> Figure:
    train = sampler.rows.votes[sampler.rows.of_split("train")]
    n = min(MAX_AGREEMENT, train.shape[1])
    names = [f"{number} {sampler.programs[number]}" for number in range(n)]
    of_all = f" (the first {n} of {train.shape[1]:,} programs)" if n < train.shape[1] else ""
    text = f"Agreement on train: how often two programs vote for the same class where both vote{of_all}."
    return Figure(svg=heat_map(names, agreement(train[:, :n]), text), caption=text)
