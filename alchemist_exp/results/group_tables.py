"""The tables on groups and on concepts of images, from the sections of a record."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.results.layout import heading, mean_text, new_table, number_text
from alchemist_exp.results.record import Section
from alchemist_exp.results.report import UNKNOWN

_DISTILLED: Final = "distilled"

_SHOWN_CHARACTERS: Final = 100
"""Characters of a concept's name or description in a table."""

_SUMMARY_ROWS: Final = {
    "average": "average",
    "adjusted_average": "adjusted average (by train share)",
    "worst_accuracy": "worst group",
    "gap": "gap (average - worst)",
    "adjusted_gap": "adjusted gap",
}


def group_tables(section: Section, *, labeled_by: str = "label model") -> list[RenderableType]:
    """Return the accuracy by group on test or, where test has no scores, on valid.

    Args:
        section: The record's `groups`; may be empty.
        labeled_by: How the labels before distillation are called: a method without a label model is named.

    Returns:
        A heading, a table, what the worst groups are, and which stages have used group labels; nothing without scores.

    """
    models = {sanitize(labeled_by): section.get("label_model", {}), _DISTILLED: section.get("end_model", {})}
    split = next((name for name in ("test", "valid") if any(scores.get(name) for scores in models.values())), None)
    if split is None:
        return []
    shares = section["train_shares"]
    scores_of = {title: scores[split] for title, scores in models.items() if scores.get(split)}
    coverage = scores_of.get(sanitize(labeled_by), {}).get("coverage", [])
    abstains = any(share is not None and share < 1 for share in coverage)
    n_seeds = len(scores_of.get(_DISTILLED, {}).get("worst_group", ()))
    table = new_table("", *["train share"] * bool(shares), "n", *["coverage"] * abstains, *scores_of)
    n = list(scores_of.values())[-1]["n"]  # the distilled model predicts all rows
    for group, name in enumerate(section["names"]):
        cells = [number_text(shares[group])] if shares else []
        cells += [f"{n[group]:,}", *([number_text(coverage[group])] if abstains else [])]
        table.add_row(
            Text(sanitize(name)), *cells, *(number_text(scores["accuracy"][group]) for scores in scores_of.values())
        )
    blank = [""] * (len(table.columns) - 1 - len(scores_of))
    for key, title in _SUMMARY_ROWS.items():
        values = [scores[key] for scores in scores_of.values()]
        cells = [mean_text(one, n_seeds) if isinstance(one, Mapping) else number_text(one) for one in values]
        table.add_row(title, *blank, *cells, style="bold")
    over = f"; distilled: mean ± sd over {n_seeds} seeds" if n_seeds > 1 else ""
    used_by = ", ".join(map(sanitize, section["used_by"]))
    return [
        heading("Groups", f"class and {sanitize(section['attribute'])}, {split}{over}"),
        table,
        *(Text(_worst_text(title, scores)) for title, scores in scores_of.items()),
        *(Text(note, style="yellow") for title, scores in scores_of.items() for note in _unscored(title, scores)),
        Text(f"Group labels were known to {f'these stages: {used_by}' if used_by else 'no stage'}."),
    ]


def _worst_text(title: str, scores: Section) -> str:
    """Return a model's worst group and the interval of its accuracy; of all seeds if there are several."""
    groups, n, intervals = scores["worst_group"], scores["worst_n"], scores["worst_interval"]
    if isinstance(groups, str):
        groups, n, intervals = [groups], [n], [intervals]
    counts = Counter(zip(groups, n, strict=True))
    of_seeds = {group: f", {count} of {len(groups)} seeds" * (len(counts) > 1) for group, count in counts.items()}
    named = "; ".join(f"{sanitize(name)} (n = {rows:,}{of_seeds[name, rows]})" for name, rows in counts)
    which = "95% intervals of all seeds, together" if len(groups) > 1 else "95% interval"
    lower, upper = min(low for low, _ in intervals), max(high for _, high in intervals)
    return f"worst group, {title}: {named}; {which}: {lower:.3f} to {upper:.3f}"


def _unscored(title: str, scores: Section) -> list[str]:
    """Return a note when groups have no accuracy, so that none of them can be the worst group."""
    without = [sanitize(name) for name, one in zip(scores["names"], scores["accuracy"], strict=True) if one is None]
    listed = "; ".join(without)
    return [f"! {title}: no scored rows, so not compared as worst group: {listed}"] if without else []


def concept_table(section: Section, *, spurious: str = "background") -> list[RenderableType]:
    """Return what is known of each concept description.

    Args:
        section: The record's `concepts`; may be empty.
        spurious: The spurious attribute. A description whose score separates it better than the attribute that the
            description is about is named in a note.

    Returns:
        A heading, a table with AUCs if the fidelity to known attributes was measured, and notes; nothing without
        descriptions.

    """
    if not (concepts := section.get("list")):
        return []
    # The columns on fidelity by their headings: those of attributes that are known.
    known = {name for entry in concepts if entry["fidelity"] for name in entry["fidelity"]["aucs"]}
    columns: dict[str, Callable[[Section], str]] = {}
    if known - {"class"}:
        columns["AUC own"] = _own_auc
    for name in ("class", spurious):
        if name in known:
            columns[f"AUC {sanitize(name)}"] = partial(_auc_of, name)
    if known - {"class"}:
        columns["follows"] = lambda fidelity: sanitize(fidelity["follows"] or UNKNOWN)
    table = new_table("concept", "description", *columns)
    table.columns[1].justify = "left"
    notes, above = [], None
    for entry in concepts:
        name, description = _shown(entry["concept"]), _shown(entry["description"])
        fidelity = entry["fidelity"]
        cells = [UNKNOWN if fidelity is None else cell(fidelity) for cell in columns.values()]
        table.add_row(*(Text(cell) for cell in ("" if name == above else name, description, *cells)))
        above = name
        if not entry["kept"]:
            notes.append(f"left out {name}: {description}: {sanitize(entry['reason'])}")
        if fidelity is not None:
            own, of_spurious = (fidelity["aucs"].get(of) for of in (fidelity["own"], spurious))
            if own is not None and of_spurious is not None and of_spurious > own:
                follows = f"its score follows the {sanitize(spurious)} more than its own attribute"
                notes.append(f"! {description}: {follows}, {sanitize(fidelity['own'])}")
    detail = f"source: {sanitize(section['source'])}; scale of the scores: {sanitize(section['scale'])}"
    return [heading("Concepts", detail), table, *(Text(note, style="yellow") for note in notes)]


def _shown(text: str) -> str:
    """Return a text of an LLM for a table, shortened: one that a filter drops can have any length."""
    text = sanitize(text)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _own_auc(fidelity: Section) -> str:
    own = fidelity["own"]
    return UNKNOWN if own is None else f"{sanitize(own)} {number_text(fidelity['aucs'].get(own))}"


def _auc_of(name: str, fidelity: Section) -> str:
    return number_text(fidelity["aucs"].get(name))
