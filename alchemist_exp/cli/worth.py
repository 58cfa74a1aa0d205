"""`alchemist worth RUN`: how many hand labels give the scores of a run's distilled model."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command, positive, refuse_existing
from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.errors import ConfigError, require_packages
from alchemist_exp.core.terminal import sanitize, single_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alchemist_exp.labeling.run_files import StoredRun
    from alchemist_exp.labeling.worth import LabelWorth

DESCRIPTION = """\
Compare the distilled model of a finished run with the same end model trained on gold labels of train, and tell how many
hand labels give the same score. The features, the settings and the early stopping are those of the run.

  alchemist worth RUN                    a table and a curve
  alchemist worth RUN --plot worth.png   also a picture, as PNG or SVG; needs the extra "figures"
  alchemist worth RUN --json             the same as JSON

Gold labels of train are used for this evaluation only; the run does not change. Nothing is sent to an LLM.
"""

MOST_ROWS = 12_800
CURVE = 40
"""Characters of the curve's width."""

PICTURES = (".png", ".svg")


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist worth`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist worth", description=DESCRIPTION)
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="a run: its key, the first digits of it, or its directory; default: the last",
    )
    parser.add_argument(
        "--rows",
        metavar="N",
        type=positive,
        default=MOST_ROWS,
        help=f"the largest number of gold rows ({MOST_ROWS:,}); the others are 50, 100, 200, ...",
    )
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw the curve into this file, .png or .svg")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--outputs", metavar="DIR", type=Path, default=OUTPUTS, help="the directory that the run had as paths.outputs"
    )
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="run the code of your own components in DIR")
    parser.add_argument(
        "--weights", metavar="PATH", type=Path, action="append", default=[], help="read these weights of an encoder"
    )
    return _worth(parser.parse_args(arguments))


def _worth(chosen: argparse.Namespace) -> int:
    from alchemist_exp.core.atomic_io import write_bytes
    from alchemist_exp.core.hashing import to_jsonable
    from alchemist_exp.evaluation.label_worth import FIRST_ROWS
    from alchemist_exp.labeling.components import Consent
    from alchemist_exp.labeling.run_files import open_run, refuse_multi_label
    from alchemist_exp.labeling.worth import measure_worth
    from alchemist_exp.results.layout import new_console
    from alchemist_exp.results.plots import label_curve
    from alchemist_exp.results.progress import RichProgress

    if chosen.rows < FIRST_ROWS:
        raise ConfigError(f"--rows is {chosen.rows}; expected {FIRST_ROWS} or more.")
    plot: Path | None = chosen.plot
    if plot is not None:
        if plot.suffix not in PICTURES:
            raise ConfigError(f"--plot is {single_line(str(plot))!r}; expected a name that ends in .png or .svg.")
        refuse_existing(plot, "--plot FILE", overwrite=chosen.overwrite)
        require_packages("--plot", "figures", "matplotlib")
    run = open_run(find_run(chosen.outputs, chosen.run).absolute())
    refuse_multi_label(run, "alchemist worth")
    consent = Consent(config_dir=chosen.config_dir, weights=chosen.weights)
    worth = measure_worth(run, consent, chosen.rows, RichProgress())
    if chosen.json:
        found = {"run": run.record.run_key, "crossing_text": str(worth.crossing)} | to_jsonable(worth)
        print(json.dumps(found, indent=2))
    else:
        new_console().print(*render(run, worth), sep="\n")
    if plot is not None:
        picture = label_curve(
            sizes=[point.rows for point in worth.curve],
            means=[point.scores[worth.split].mean for point in worth.curve],
            deviations=[point.scores[worth.split].std for point in worth.curve],
            target=worth.distilled[worth.split].mean,
            score=_score_name(worth, worth.split),
            kind=plot.suffix.removeprefix("."),
        )
        write_bytes(plot, picture)
        if not chosen.json:
            print(f"wrote {single_line(str(plot))}")
    return 0


def render(run: "StoredRun", worth: "LabelWorth") -> list["RenderableType"]:
    """Return what is printed: a table with a curve, the number of hand labels, and what the comparison rests on.

    Args:
        run: The run.
        worth: Its worth.

    Returns:
        A table and sentences.

    """
    from rich.text import Text

    from alchemist_exp.results.layout import heading, mean_text, new_table
    from alchemist_exp.results.run_names import dataset_title

    splits, distilled = [*worth.distilled], worth.distilled[worth.split]
    n_draws, n_seeds = len(worth.crossings), len(distilled.per_seed)
    values = [distilled.mean, *(point.scores[worth.split].mean for point in worth.curve)]
    low, high = min(values), max(values)

    def place(value: float) -> int:
        """Return the column of a score on the curve's axis, in characters from 0."""
        return round((CURVE - 1) * (value - low) / (high - low)) if high > low else 0

    axis = f"{low:.3f}".ljust(CURVE - 5) + f"{high:.3f}"
    table = new_table("hand labels", *(_score_name(worth, split) for split in splits), axis)
    table.columns[-1].justify = "left"
    for point in worth.curve:
        line = list(" " * CURVE)
        line[place(distilled.mean)] = "|"
        line[place(point.scores[worth.split].mean)] = "*"
        scores = [mean_text(vars(point.scores[split]), n_draws) for split in splits]
        table.add_row(f"{point.rows:,}", *scores, "".join(line))
    scores = [mean_text(vars(worth.distilled[split]), n_seeds) for split in splits]
    table.add_row("distilled", *scores, " " * place(distilled.mean) + "|", style="bold")
    members = (str(run.config(group).get("name", "")) for group in ("method", "end_model"))
    names = [sanitize(name) for name in (dataset_title(run.config("dataset")), *members)]
    return [
        Text("\n" + "  ·  ".join(names) + f"  ·  {sanitize(run.record.run_key[:12])}", style="bold"),
        heading(
            "Worth in hand labels", f"gold labels: mean ± sd over {n_draws} draws; distilled: over {n_seeds} seeds"
        ),
        table,
        Text(f"\n{sentence(worth)}", style="bold"),
        *(Text(f"! {note}", style="yellow") for note in notes(worth)),
        Text(
            f"gold used  train: this evaluation only ({worth.curve[-1].rows:,} of {worth.n_labeled:,} rows per draw)\n"
        ),
    ]


def sentence(worth: "LabelWorth") -> str:
    """Return the result in one sentence.

    Args:
        worth: The worth of a run.

    """
    lowest, *_, highest = sorted(worth.crossings, key=lambda one: (one.rows, one.relation))
    between = f" (in single draws: {lowest} to {highest})" if str(lowest) != str(highest) else ""
    return (
        f"The distilled model scores the same as this end model trained on {worth.crossing} hand labels{between}, by "
        f"{_score_name(worth, worth.split)}."
    )


def notes(worth: "LabelWorth") -> list[str]:
    """Return what a reader has to know to judge the comparison, one sentence each.

    Args:
        worth: The worth of a run.

    """
    found = []
    if worth.n_stopping:
        found.append(
            f"Both models stop training by the same {worth.n_stopping:,} gold labels of valid, which are not counted "
            "as hand labels."
        )
    else:
        found.append("Both models stop training by some of their own training rows, which they hold out.")
    if worth.gold_of_run:
        found.append(f"The run itself used gold labels, which are not counted either: {'; '.join(worth.gold_of_run)}.")
    if worth.split != "test":
        found.append(f"test has no gold labels, so scores on {worth.split} are compared.")
        if worth.n_stopping:
            found.append(f"{worth.split} also stops training, so its scores are too high for both models.")
    return found


def _score_name(worth: "LabelWorth", split: str) -> str:
    from alchemist_exp.results.record import SCORES

    return f"{split} {SCORES[worth.metric]}"
