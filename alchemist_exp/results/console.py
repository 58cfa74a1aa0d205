"""The tables that are printed when a run has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from alchemist_exp.core.terminal import sanitize, single_line
from alchemist_exp.results.class_tables import by_class_tables
from alchemist_exp.results.cost_table import cost_table
from alchemist_exp.results.group_tables import concept_table, group_tables
from alchemist_exp.results.layout import mean_text, new_console, number_text
from alchemist_exp.results.program_table import program_table
from alchemist_exp.results.record import SCORES, RunRecord, Section
from alchemist_exp.results.report import UNKNOWN
from alchemist_exp.results.round_tables import rounds_table
from alchemist_exp.results.run_names import dataset_title
from alchemist_exp.results.score_table import score_table


def headline(record: RunRecord, splits: Sequence[str] = ("test", "valid")) -> dict[str, str]:
    """Return the scores by which a run is compared with others, for one line.

    Args:
        record: The record of a finished run.
        splits: The first of these that has labels is the one whose scores are returned.

    Returns:
        `score` (the dataset's own, and its split), its values for the `distilled` model and the `label model`, and the
        `coverage` of train; "-" for what is not known.

    """
    name = record.metric
    scored = record.end_model["metrics"] or record.label_model["metrics"]
    split = next((split for split in splits if scored.get(split)), None)
    coverage = number_text(record.label_model["coverage"]["train"])
    if split is None:
        return {"score": UNKNOWN, "distilled": UNKNOWN, "label model": UNKNOWN, "coverage": coverage}
    distilled, of_votes = record.end_model["metrics"].get(split), record.label_model["metrics"].get(split)
    return {
        "score": f"{split} {SCORES[name]}",
        "distilled": mean_text(distilled[name], len(record.end_model["seeds"])) if distilled else UNKNOWN,
        "label model": number_text(of_votes and of_votes[name]),
        "coverage": coverage,
    }


def not_logged(logger: str) -> str:
    """Return the note on a run that is loaded from its record: its logger is not opened.

    Args:
        logger: The configured logger.

    Returns:
        One sentence; "" without a logger.

    """
    return "" if logger == "none" else f"a run that is loaded from its record sends nothing to logger={logger}"


def show(record: RunRecord, directory: str, *, reused: bool, logger: str = "none", verbose: bool = False) -> None:
    """Print the tables of a finished run.

    Args:
        record: Its record.
        directory: Where it is.
        reused: Whether the record was there already.
        logger: The configured logger, which a reused record does not use.
        verbose: Whether all programs are listed, and the scores and confusion matrix of the classes are shown.

    """
    new_console().print(render(record, directory, reused=reused, logger=logger, verbose=verbose))


def render(
    record: RunRecord, directory: str, *, reused: bool, logger: str = "none", verbose: bool = False
) -> RenderableType:
    """Return the tables of a finished run.

    Args:
        record: Its record.
        directory: Where it is.
        reused: Whether the record was there already.
        logger: As for `show`.
        verbose: As for `show`.

    Returns:
        Scores, also of groups and concepts if the record has them, programs, cost, seconds, notes and the gold labels
        that were used.

    """
    record = replace(record, **{name: _printable(value) for name, value in vars(record).items()})
    dataset = dataset_title(record.config["dataset"])
    method, end_model = (record.config[group]["name"] for group in ("method", "end_model"))
    trained = [end_model] * bool(record.end_model["seeds"])
    chosen = dict.fromkeys((dataset, method, record.label_model["name"], *trained))  # zero-shot labeling is both
    parts: list[RenderableType] = [Text("\n" + "  ·  ".join(map(sanitize, chosen)), style="bold")]
    if reused:
        how = f"loaded from the existing record, finished {record.finished_at}; use force=true to run again"
        parts.append(Text(how, style="italic"))
        parts += [Text(f"! {note}", style="yellow")] if (note := not_logged(logger)) else []
    gold_used = record.data["gold_used"]
    scored = {use.partition(": ")[0] for use in gold_used if ": scoring" in use}
    on_valid = "valid" in scored and "train" not in scored
    has_files = record.programs["sandbox"] is not None  # programs ran, so their files were written
    has_picture = record.data.get("kind") == "images"
    has_votes = record.label_model["name"] != record.programs["source"]  # else the method gave the soft labels itself
    n_classes = len(record.label_model["labels"])
    seconds = ", ".join(f"{key.replace('_', ' ')} {s:.1f}" for key, s in record.seconds.items() if key != "total")
    return Group(
        *parts,
        *score_table(record),
        *_choice(record.label_model),
        *(by_class_tables(record) if verbose else []),
        *group_tables(record.groups, labeled_by="label model" if has_votes else record.label_model["name"]),
        *concept_table(record.concepts, spurious=record.groups.get("attribute", "background")),
        *program_table(
            record.programs,
            accuracy=f"{'micro F1' if record.multi_label else 'accuracy'}{' on valid' * on_valid}",
            votes=has_votes,
            n_classes=n_classes,
            verbose=verbose,
        ),
        *rounds_table(record.rounds),
        *cost_table(record.cost, method, "programs" if has_votes else method),
        Text(f"\nseconds    {record.seconds['total']:.1f}: {seconds}"),
        *(Text(f"! {note}", style="yellow") for note in record.notes + record.label_model["warnings"]),
        Text(f"gold used  {', '.join(gold_used) or 'none'}"),
        Text(f"record, labels{', programs' * has_files}{', model' * bool(trained)}  {directory}", overflow="fold"),
        *([Text(f"images, right and wrong  {directory}/images.png", overflow="fold")] if has_picture else []),
        Text(""),
    )


def _printable(value: Any) -> Any:
    """Return a value of a record with the control characters of its texts escaped; others name classes and programs."""
    match value:
        case str() if type(value) is str:
            return single_line(value)
        case Mapping():
            return {_printable(key): _printable(item) for key, item in value.items()}
        case list():
            return [_printable(item) for item in value]
        case _:
            return value


def _choice(label_model: Section) -> list[Text]:
    """Return why the label model was chosen among others; nothing when the configuration names it."""
    if not (choice := label_model.get("choice")):
        return []
    scores = ", ".join(f"{name} {number_text(score)}" for name, score in choice["scores"].items())
    left_out = [f"{name} left out: {reason}" for name, reason in choice["left_out"].items()]
    return [Text(f"label model chosen by {choice['by']}: {'; '.join([scores, *left_out])}")]
