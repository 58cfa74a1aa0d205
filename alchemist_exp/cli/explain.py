"""`alchemist explain RUN --row N`: shows the votes, weights and program lines from which a row has its label."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command, natural
from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import escape_controls, single_line
from alchemist_exp.core.types import Split
from alchemist_exp.results.layout import heading, new_console, new_table, number_text
from alchemist_exp.results.report import UNKNOWN

if TYPE_CHECKING:
    from alchemist_exp.labeling.explanation import Explainer, Explanation
    from alchemist_exp.labeling.stored_rows import StoredRow

DESCRIPTION = """\
Show why a row has its label: the vote of each program, the line of the program that returned it, and what the label
model believes with and without that vote. Nothing is sent to an LLM, and nothing is fitted.

  alchemist explain RUN --row 17                a row of train; --split names another split
  alchemist explain RUN --text "free money"     any text; a JSON object if the run has several columns, the path
                                                of an image if the run has images
  alchemist explain RUN --row 17 --json         for another program

influence is the share of train rows whose label depends on the program. "without it" is the probability of the row's
label, by the label model, if the program abstained; with the label that the row would then have, if it is another one.

A run may be from another person: its files are data, and its programs run in the sandbox.
"""

SHOWN_CHARS: Final = 4_000
"""Characters of the row that are shown on the terminal; --json has all of them."""

SHOWN_LINE_CHARS: Final = 100
"""Characters of a line and of a condition that are shown on the terminal."""


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist explain`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist explain", description=DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="a run: its key, the first digits of it, or its directory")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--row", metavar="N", type=natural, help="the number of a row in the input of the run, from 0")
    which.add_argument("--text", metavar="TEXT", help="a row that need not be in the run")
    parser.add_argument("--split", choices=[*map(str, Split)], help="the split of --row (train)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--outputs", metavar="DIR", type=Path, default=OUTPUTS, help="the directory that the run had as paths.outputs"
    )
    parser.add_argument(
        "--sandbox",
        choices=["auto", "seccomp", "bwrap", "none"],
        default="auto",
        help="where programs run; none gives them your rights",
    )
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="run the code of your own components in DIR")
    parser.add_argument(
        "--weights", metavar="PATH", type=Path, action="append", default=[], help="read these weights of an encoder"
    )
    parser.add_argument(
        "--allow-module", metavar="NAME", action="append", default=[], help="programs may import this module"
    )
    return _explain(parser.parse_args(arguments))


def _explain(chosen: argparse.Namespace) -> int:
    if chosen.text is not None and chosen.split is not None:
        raise ConfigError("--split is for --row; a text is in no split.")
    from alchemist_exp.labeling.components import Consent
    from alchemist_exp.labeling.explanation import differences, make_explainer
    from alchemist_exp.labeling.run_files import open_run, refuse_multi_label
    from alchemist_exp.labeling.stored_rows import read_row

    run = open_run(find_run(chosen.outputs, chosen.run).absolute())
    refuse_multi_label(run, "alchemist explain")
    consent = Consent(config_dir=chosen.config_dir, weights=chosen.weights, modules=chosen.allow_module)
    explainer = make_explainer(run, consent, chosen.sandbox)
    split = None if chosen.text is not None else Split(chosen.split or Split.TRAIN)
    stored = None
    if split is None:
        row = _parsed(explainer, chosen.text)
    elif explainer.kind.name == "images":
        raise ConfigError("the rows of this run are images, which are not in its files; name an image by --text PATH.")
    else:
        stored = read_row(run, explainer.kind, split, chosen.row, explainer.vote_columns)
        row = stored.row
    explanation = explainer.explain(row)
    notes = [*explainer.notes]
    if stored is not None:
        notes += differences(explanation, stored, explainer.vote_columns)
    if chosen.json:
        found = {
            "run": run.record.run_key,
            "split": split,
            "row": chosen.row,
            "text": explainer.kind.show(row),
            "gold": stored.gold if stored else None,
            **asdict(explanation),
            "notes": notes,
        }
        print(json.dumps(found, indent=2))
        return 0
    title = "Text" if split is None else f"{split} row {chosen.row}"
    console = new_console()
    for part in _screen(title, explainer, explainer.kind.show(row), explanation, stored):
        console.print(part)
    for note in notes:
        console.print(Text(f"note: {single_line(note)}", style="yellow"))
    return 0


def _parsed(explainer: "Explainer", text: str) -> str:
    """Return the row in --text.

    Raises:
        ConfigError: There is none.

    """
    try:
        row = explainer.kind.parse(text)
    except ValueError as error:
        raise ConfigError(f"--text: {error}.") from error
    if explainer.kind.is_empty(row):
        reason = explainer.kind.reason_without_content(row)
        raise ConfigError(f"--text has no content{f' ({single_line(reason)})' if reason else ''}, so it gets no label.")
    return row


def _screen(
    title: str, explainer: "Explainer", text: str, explanation: "Explanation", stored: "StoredRow | None"
) -> Iterator[Text | Table]:
    """Yield the parts of the screen."""
    more = f" ... ({len(text) - SHOWN_CHARS:,} characters more)" if len(text) > SHOWN_CHARS else ""
    yield heading(title)
    yield Text(escape_controls(text[:SHOWN_CHARS]) + more)
    beliefs = {
        name: belief
        for name, belief in (
            ("label model", explanation.label_model),
            ("distilled model", explanation.distilled),
            ("combined", explanation.combined),
        )
        if belief is not None
    }
    yield heading("Labels")
    table = new_table("", "label", *(f"p({single_line(name)})" for name in explainer.classes))
    for name, belief in beliefs.items():
        label = "none" if belief.label is None else single_line(belief.label) + " (a tie)" * belief.tied
        table.add_row(name, label, *(number_text(belief.probs.get(one)) for one in explainer.classes))
    if stored is not None and stored.gold is not None:
        table.add_row("gold", single_line(stored.gold))
    yield table
    if explanation.votes:
        voted = sum(vote.vote is not None for vote in explanation.votes)
        yield heading("Programs", f"{voted} of {len(explanation.votes)} vote")
        yield _votes(explanation)


def _votes(explanation: "Explanation") -> Table:
    """Return the table of the programs; the most influential ones first, those without a vote last."""
    from alchemist_exp.labeling.beliefs import effect_text

    label = explanation.label_model.label if explanation.label_model else None
    table = new_table("", "vote", "influence", "without it")
    table.add_column("line", justify="right")
    table.add_column("source", overflow="fold")
    for vote in sorted(explanation.votes, key=lambda one: (one.vote is None, -(one.influence or 0.0))):
        shown = vote.outcome.replace("_", " ") if vote.vote is None else single_line(vote.vote)
        source = _shorten(single_line(vote.source.strip()))
        if vote.condition:
            source += f"  ({_shorten(single_line(vote.condition))})"
        if vote.message:
            source += f"  {single_line(vote.message)}" if source else single_line(vote.message)
        without = "" if vote.without is None or label is None else single_line(effect_text(vote.without, label))
        cells = [shown, number_text(vote.influence), without, str(vote.line or UNKNOWN), source]
        table.add_row(single_line(vote.program), *cells, style="dim" if vote.vote is None else "")
    return table


def _shorten(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= SHOWN_LINE_CHARS else f"{text[:SHOWN_LINE_CHARS]}..."
