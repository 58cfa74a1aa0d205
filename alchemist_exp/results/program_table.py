"""The table of a run's programs, and why others were rejected."""

from rich.console import RenderableType
from rich.text import Text

from alchemist_exp.results.layout import counts_text, heading, new_table, number_text
from alchemist_exp.results.record import Section
from alchemist_exp.results.report import UNKNOWN, usd_text

SHOWN_PROGRAMS = 12
"""Rows of the programs' table; the record has them all."""


def program_table(
    programs: Section, accuracy: str, *, votes: bool, n_classes: int, verbose: bool
) -> list[RenderableType]:
    """Return the programs that voted, and why others do not; for other methods the outcomes of rows, if it has them.

    Args:
        programs: The section of the record.
        accuracy: The heading of the programs' accuracies.
        votes: Whether the method has votes; one without them has no programs.
        n_classes: The number of classes.
        verbose: Whether all programs are listed.

    """
    rejected, listed, by_stage = programs["rejected"], programs["list"], programs["rejected_by_stage"]
    if programs["row_outcomes"]:
        return [
            heading("LLM calls", f"{listed[0]['origin']}, one for each row: {counts_text(programs['row_outcomes'])}")
        ]
    if not votes:
        return []
    if programs["sandbox"]:
        lost = f", {sum(by_stage.values())} rejected ({counts_text(by_stage)})" if by_stage else ""
        selected = f", {programs['selected']} selected" if programs["selected"] < programs["accepted"] else ""
        what = f"{programs['candidates']} candidates, {programs['accepted']} accepted{lost}{selected}"
        what += f"; sandbox: {programs['sandbox']}"
    else:
        what = f"{programs['accepted']} human-crafted functions, whose votes came with the dataset"
    table = new_table("", "coverage", "overlap", "conflict", accuracy, "influence", "votes for", "errors")
    n_shown = len(listed) if verbose else SHOWN_PROGRAMS
    for program in listed[:n_shown]:
        wrong = program.get("wrong") is not None
        name = f"{'! ' * wrong}{program.get('file') or program['origin']}"
        numbers = [
            number_text(program.get(key)) for key in ("coverage", "overlap", "conflict", "accuracy", "influence")
        ]
        errors = [f"{count} {kind}" for kind, count in program["errors"].items()]
        errors += ["nondeterministic"] * bool(program.get("nondeterministic"))
        polarity = program.get("polarity", [])
        votes_for = "all classes" if len(polarity) == n_classes else ", ".join(polarity)
        style = "yellow" if wrong else ""
        table.add_row(name, *numbers, votes_for or UNKNOWN, ", ".join(errors) or UNKNOWN, style=style)
    more, more_rejected = len(listed) - n_shown, len(rejected) - SHOWN_PROGRAMS
    return [
        heading("Programs", what),
        table,
        *([Text(f"and {more} more; alchemist show -v lists all", style="dim")] if more > 0 else []),
        *(Text(f"rejected {one['origin']}: {one['reason']}", style="yellow") for one in rejected[:SHOWN_PROGRAMS]),
        *([Text(f"and {more_rejected} more rejected", style="yellow")] if more_rejected > 0 else []),
        *_asked_rows(programs.get("asked_rows")),
    ]


def _asked_rows(asked: Section | None) -> list[RenderableType]:
    """Return what the LLM said about doubtful rows of train; nothing for methods that do not ask about them."""
    if asked is None:
        return []
    counts = f"{asked['asked']:,} of {asked['doubtful']:,} doubtful rows of train, {usd_text(asked['list_price_usd'])}"
    labels = (
        f"{asked['labeled']:,} labeled ({asked['asked_uncovered']:,} asked rows are uncovered, {asked['changed']:,} "
    )
    labels += f"labels changed), coverage {number_text(asked['coverage'])}"
    lines = [f"{labels}; responses: {counts_text(asked['outcomes']) or 'none'}"]
    if asked["accuracy"] is not None:
        before = number_text(asked["label_model_accuracy"])
        lines.append(f"accuracy on these rows: LLM {number_text(asked['accuracy'])}, label model {before}")
    return [heading("Rows labeled by the LLM", counts), *map(Text, lines)]
