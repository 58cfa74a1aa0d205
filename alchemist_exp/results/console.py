"""The tables that are printed when a run has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from alchemist_exp.core.convergence import Convergence
from alchemist_exp.core.terminal import sanitize, single_line
from alchemist_exp.results.class_tables import by_class_tables
from alchemist_exp.results.group_tables import concept_table, group_tables
from alchemist_exp.results.layout import heading, mean_text, new_console, new_table, number_text
from alchemist_exp.results.record import SCORES, RunRecord, Section
from alchemist_exp.results.report import UNKNOWN, usd_text
from alchemist_exp.results.round_tables import rounds_table

SHOWN_PROGRAMS = 12
"""Rows of the programs' table; the record has them all."""

_UNSEEN = "unseen"
_PROGRAM_NUMBERS = ("coverage", "overlap", "conflict", "accuracy", "influence")


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
    dataset, method, end_model = (record.config[group]["name"] for group in ("dataset", "method", "end_model"))
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
        *_scores(record),
        *_choice(record.label_model),
        *(by_class_tables(record) if verbose else []),
        *group_tables(record.groups, labeled_by="label model" if has_votes else record.label_model["name"]),
        *concept_table(record.concepts, spurious=record.groups.get("attribute", "background")),
        *_programs(
            record.programs,
            accuracy=f"{'micro F1' if record.multi_label else 'accuracy'}{' on valid' * on_valid}",
            votes=has_votes,
            n_classes=n_classes,
            verbose=verbose,
        ),
        *rounds_table(record.rounds),
        *_cost(record.cost, method, "programs" if has_votes else method),
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


def _scores(record: RunRecord) -> list[RenderableType]:
    label_model, end_model, positive = record.label_model, record.end_model, record.data["positive_class"]
    n_seeds = len(end_model["seeds"])
    accuracy, f1 = ("subset accuracy", "micro F1") if record.multi_label else ("accuracy", "weighted F1")
    table = new_table("", "coverage", accuracy, f"F1 of {positive}" if positive else f1, "macro F1")
    for split in record.data["rows"]:
        scores = label_model["metrics"].get(split) or dict.fromkeys(SCORES)
        coverage = number_text(label_model["coverage"].get(split))
        table.add_row(f"{label_model['name']}, {split}", coverage, *(number_text(scores[name]) for name in SCORES))
        if scores := _unseen(label_model).get(split):
            cells = [number_text(scores[name]) for name in SCORES]
            table.add_row(f"{label_model['name']}, {split}, {_UNSEEN}", "", *cells)
    for split, summary in end_model["metrics"].items():
        for rows, scores in (("", summary), (f", {_UNSEEN}", _unseen(end_model).get(split))):
            if scores:
                cells = [mean_text(scores[name], n_seeds) for name in SCORES]
                style = "bold" if split == "test" else ""
                table.add_row(f"distilled {end_model['name']}, {split}{rows}", "", *cells, style=style)
    ensemble, combined = end_model.get("ensemble") or {}, end_model.get("combined") or {}
    kinds = {f"ensemble of {n_seeds} seeds": ensemble} if n_seeds > 1 else {}
    kinds |= {f"combined, {label_model['name']} by {combined['weight']:g}": combined} if combined else {}
    for kind, section in kinds.items():
        for split, all_rows in section.get("metrics", {}).items():
            for rows, scores in (("", all_rows), (f", {_UNSEEN}", _unseen(section).get(split))):
                if scores:
                    table.add_row(f"{kind}, {split}{rows}", "", *(number_text(scores[name]) for name in SCORES))
    for split, share in record.data["most_frequent_class"].items():
        what = "most frequent set of classes" if record.multi_label else "most frequent class"
        table.add_row(f"{what}, {split}", "", number_text(share), style="dim")
    over = f"mean ± sd over {n_seeds} seeds" if n_seeds > 1 else "one seed"
    what = f"{label_model['name']}: rows with a label" + (f"; {end_model['name']}: {over}" if n_seeds else "")
    labels = f"labels by {label_model['name']} on train: {_counts(label_model['labels'])}"
    if convergence := label_model.get("convergence"):  # records of earlier versions have none
        labels += f"; the fit has {Convergence(**convergence)}"
    has_unseen = any(_unseen(section) for section in (label_model, end_model))
    explained = [Text(f"{_UNSEEN}: rows whose text is in no earlier split", style="dim")] if has_unseen else []
    return [heading("Scores", what), table, *explained, Text(labels), *_calibration(record)]


def _calibration(record: RunRecord) -> list[RenderableType]:
    """Return the calibration errors on one split: test, or else valid or train; nothing without gold labels."""
    errors: dict[str, str] = {}
    for split in ("test", "valid", "train"):
        for section in (record.label_model, record.end_model):
            if found := section.get("calibration", {}).get(split):
                errors[section["name"]] = number_text(found["ece"])
        if errors:
            temperature = record.end_model.get("temperature")
            scaled = "" if temperature is None else f" (temperature {temperature:.2f})"
            listed = ", ".join(f"{name} {error}" for name, error in errors.items())
            return [Text(f"expected calibration error on {split}: {listed}{scaled}")]
    return []


def _unseen(section: Section) -> Mapping[str, Any]:
    """Return the scores on rows of test whose text is in no earlier split; those of valid are in the record only."""
    return {split: scores for split, scores in (section.get("metrics_unseen") or {}).items() if split == "test"}


def _choice(label_model: Section) -> list[Text]:
    """Return why the label model was chosen among others; nothing when the configuration names it."""
    if not (choice := label_model.get("choice")):
        return []
    scores = ", ".join(f"{name} {number_text(score)}" for name, score in choice["scores"].items())
    left_out = [f"{name} left out: {reason}" for name, reason in choice["left_out"].items()]
    return [Text(f"label model chosen by {choice['by']}: {'; '.join([scores, *left_out])}")]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _programs(programs: Section, accuracy: str, *, votes: bool, n_classes: int, verbose: bool) -> list[RenderableType]:
    """Return the programs that voted, and why others do not; for other methods the outcomes of rows, if it has them."""
    rejected, listed, by_stage = programs["rejected"], programs["list"], programs["rejected_by_stage"]
    if programs["row_outcomes"]:
        return [heading("LLM calls", f"{listed[0]['origin']}, one for each row: {_counts(programs['row_outcomes'])}")]
    if not votes:
        return []
    if programs["sandbox"]:
        lost = f", {sum(by_stage.values())} rejected ({_counts(by_stage)})" if by_stage else ""
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
    lines = [f"{labels}; responses: {_counts(asked['outcomes']) or 'none'}"]
    if asked["accuracy"] is not None:
        before = number_text(asked["label_model_accuracy"])
        lines.append(f"accuracy on these rows: LLM {number_text(asked['accuracy'])}, label model {before}")
    return [heading("Rows labeled by the LLM", counts), *map(Text, lines)]


def _cost(cost: Section, method: str, compared: str) -> list[RenderableType]:
    """Return what programs and zero-shot labeling cost at the same price, and what the run spent on one of them.

    compared: What is compared with zero-shot labeling: programs, or the name of a method without programs.
    """
    estimate, by_rows = cost["break_even"], method == "zero_shot"
    replayed = " (replayed)" if cost["replayed"] and cost["calls"] else ""
    spent = usd_text(cost["spent_usd"])
    table = new_table("", "LLM calls", "list price", "spent")
    for what, calls, usd, of_run in (
        (f"{'programs' if by_rows else sanitize(compared)}{replayed}", "programs_calls", "programs_usd", not by_rows),
        ("zero-shot labeling", "zero_shot_calls", "zero_shot_usd", by_rows),
        ("zero-shot labeling, batch API", "zero_shot_calls", "zero_shot_batch_usd", False),
    ):
        if calls == "programs_calls" or (estimate[calls] if usd == "zero_shot_usd" else estimate[usd] is not None):
            table.add_row(what, f"{estimate[calls]:,}", usd_text(estimate[usd]), spent if of_run else UNKNOWN)
    prices = f"prices: {estimate['price_as_of']}" if estimate["price_as_of"] else "the price of this model is not known"
    lines = []
    if estimate["rows_from"] is not None:
        batch = estimate["rows_from_batch"]
        by_batch = "" if batch is None else f" ({batch:,} by the batch API)"
        lines.append(f"programs cost less than zero-shot labeling from {estimate['rows_from']:,} rows on{by_batch}")
    if tokens := ", ".join(_metered(cost)):
        lines.append(tokens)
    return [heading("Cost", f"{estimate['basis']}; {prices}"), table, *map(Text, lines)]


def _metered(cost: Mapping[str, Any]) -> list[str]:
    """Return the tokens that the provider counted, cached responses, and responses that could not be used."""
    parts = []
    if cost["input_tokens"]:
        counted = f"estimated {cost['estimated_input_tokens']:,}, {cost['cached_tokens']:,} from the provider's cache"
        parts.append(f"{cost['input_tokens']:,} tokens in ({counted})")
        parts.append(f"{cost['output_tokens']:,} out ({cost['reasoning_tokens']:,} of reasoning)")
    if cost["cached_calls"]:
        parts.append(f"{cost['cached_calls']:,} of the responses were in the cache")
    return parts + ([_counts(cost["incomplete"])] if cost["incomplete"] else [])
