"""The report of `alchemist compare`: a table of the paper with our results and the paper's, or any sweep's table."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.overrides import typed
from alchemist_exp.results import paper
from alchemist_exp.results.aggregate import aggregate_text
from alchemist_exp.results.cost_curve import ASKED, cost_grids
from alchemist_exp.results.filled_table import FilledTable
from alchemist_exp.results.missing import missing_results
from alchemist_exp.results.paper_tables import Quantity
from alchemist_exp.results.record import SCORES
from alchemist_exp.results.report import SHOWN_KEY_DIGITS, UNKNOWN, Grid, Report, usd_text
from alchemist_exp.results.run_cells import (
    GROUP_COLUMNS,
    GROUPS,
    KEY_DIGITS,
    cells_of,
    dataset_names,
    results_of,
    with_split_scores,
)
from alchemist_exp.results.run_names import SYNTHETIC, dataset_label
from alchemist_exp.results.runs import GROUP_SCORES, RunState
from alchemist_exp.results.table_grids import claims_grid, main_grids, score_grid

_AVERAGED = {
    "figure5": (Quantity.LABEL_MODEL, "draws of programs"),
    "table2": (Quantity.LABEL_MODEL, "seeds of the data"),
}
"""The quantity whose values the caption counts, and what they are over; other tables: the end model's seeds."""

CODE_DIGITS = 7
"""First digits of the version of the code; a filter takes them."""

SHOWN_LIST = 20
"""Characters of a list or mapping that is shown as it is; a longer one is shown as a key."""


def compare_table(filled: FilledTable, outputs: Path, *, n_finished: int, overrides: Sequence[str] = ()) -> Report:
    """Return the report of a table: the table, every score of its runs, notes, and what is missing.

    Args:
        filled: The table with our results.
        outputs: The outputs directory, for the commands that make what is missing.
        n_finished: How many finished runs there are, used or not.
        overrides: Overrides of the sweep, for the command that makes all of it.

    Returns:
        The report. Table 1 has the abstract's claims too.

    """
    golds = " and ".join(f"gold={gold}" for gold in filled.golds)
    quantities = {measure.quantity for measure in filled.table.measures.values()}
    covered = "; ours are over the rows that have a label" * (Quantity.LABEL_MODEL in quantities)
    grids = [*main_grids(filled), *([claims_grid(filled)] if filled.name == "table1" else [])]
    means = filled.cells["mean"]
    counts = (filled.cells["quantity"] == Quantity.PROGRAMS) & filled.cells["gold"].notna()
    return Report(
        name=filled.name,
        title=filled.table.title,
        captions=[
            f"Ours: {_averaged_over(filled)}{golds}; {len(filled.finished)} of {n_finished} finished runs.",
            f"Paper: {paper.citation()}. Scores: {filled.table.scores}{covered}.",
        ],
        grids=[*grids, *([] if filled.finished.empty else [score_grid(filled)])],
        notes=list(_notes(filled, outputs)),
        missing=missing_results(filled, outputs),
        sweep_command=" ".join(
            [
                f"alchemist run +experiment={filled.name}",
                *map(shlex.quote, overrides),
                typed("paths.outputs", str(outputs)),
            ]
        ),
        flat=pd.DataFrame(
            {
                "table": filled.name,
                "dataset": filled.cells["dataset"].map(dataset_label),
                **{name: filled.cells[name] for name in ("item", "measure")},
                "kind": filled.cells["score"].map(SCORES | GROUP_SCORES).fillna(filled.cells["quantity"]).astype(str),
                "source": ("paper " + filled.cells["source"]).where(filled.cells["gold"].isna(), "ours"),
                "gold": filled.cells["gold"],
                # As text, so that a count of programs is 10 and not 10.0.
                "mean": means.map(str).where(~counts, means.map("{:.0f}".format)).where(means.notna(), ""),
                "sd": filled.cells["sd"],
                "n": filled.cells["n"].astype("Int64"),
            }
        ),
    )


def _averaged_over(filled: FilledTable) -> str:
    """Return what our means are over, for the caption; nothing where the table has only single values."""
    quantity, what = _AVERAGED.get(filled.name, (Quantity.DISTILLED, "seeds"))
    counts = filled.cells.loc[filled.cells["quantity"] == quantity, "n"].dropna().astype(int)
    if counts.empty:
        return ""
    low, high = counts.min(), counts.max()
    if high == 1:
        return f"one of the {what}; "
    return f"mean ± sd over {high} {what}; " if low == high else f"mean ± sd over {low} to {high} {what}, see below; "


def _notes(filled: FilledTable, outputs: Path) -> Iterator[str]:
    """Yield what a reader should know of the runs: whose programs, data, costs, code, warnings, what is left out."""
    runs = filled.finished
    yield from filled.table.notes
    recorded = runs[(runs["llm"] == "recorded") & runs["method"].isin(["alchemist", "vanilla_image"])]
    for model in sorted({*recorded.get("config.llm.model", ())}):
        datasets = recorded.loc[recorded["config.llm.model"] == model, "dataset"]
        known = " and the model knows these public datasets from its training" * (not {*datasets} <= SYNTHETIC)
        yield (
            f"Our programs are recordings of {model}: its ten responses to a prompt were written one after "
            f"another{known}. They are not the paper's programs."
        )
    for dataset, rows in dict(zip(runs["dataset"], runs["data.rows.train"], strict=True)).items():
        if dataset in paper.DATASETS and rows != (printed := paper.train_rows(dataset)):
            yield f"{dataset}: {rows:,} training rows here, {printed:,} in the paper."
    priced = runs["cost.break_even.basis"] + "; prices: " + runs["cost.break_even.price_as_of"].fillna("not known")
    yield from (f"Our costs are estimates, {basis}." for basis in sorted({*priced}))
    yield from (f"Our runs were made by version {code} of the program." for code in sorted({*runs["code"].str[:12]}))
    where = runs["dataset"].map(dataset_label) + ", " + runs["label_model"].fillna(UNKNOWN)
    warned = pd.DataFrame({"warning": runs["label_model.warnings"], "where": where}).explode("warning").dropna()
    for warning, rows in warned.groupby("warning", sort=False):
        yield f"{'; '.join(rows['where'].unique())}: {warning}"
    if filled.n_limited:
        yield f"{filled.n_limited} runs over a part of their dataset are left out; dataset.limit=N shows them"
    if unfinished := len(filled.runs) - len(runs):
        yield f"{unfinished} of the table's runs have not finished; see alchemist status {shlex.quote(str(outputs))}"


def compare_runs(runs: pd.DataFrame, outputs: Path, *, shown: int | None = None) -> Report:
    """Return the table of any sweep: a row for each setting, seeds averaged, a column for each key that matters.

    Args:
        runs: Rows of `RunIndex.runs`, of which at least one has finished.
        outputs: Their outputs directory.
        shown: How many rows the table has at most, the best of each dataset; None for all of them.

    Returns:
        The report. Its rows are sorted by dataset and score; what is the same in all runs is in its captions.

    """
    runs, splits = with_split_scores(runs[runs["state"] == RunState.DONE])
    names = dataset_names(runs)
    cells, keys, versions = cells_of(runs, names)
    of_cell = runs.groupby(cells, sort=False)
    lines = pd.concat([keys.groupby(cells, sort=False).first(), results_of(runs, cells)], axis=1)
    metric = of_cell["config.dataset.metric"].last()
    lines["score"] = metric.where(metric.isin(SCORES), "accuracy").map(SCORES)
    lines["split"] = splits.groupby(cells, sort=False).first()
    lines["spent"] = of_cell["cost.spent_usd"].max()
    # What replayed responses would have cost is estimated.
    lines["list price"] = of_cell["cost.list_price_usd"].last().fillna(lines.pop(Quantity.DOLLARS.value))
    zero_shot_usd = pd.to_numeric(
        runs.get("cost.break_even.zero_shot_usd", pd.Series(np.nan, index=runs.index)), errors="coerce"
    )
    zero_shot_usd = zero_shot_usd.groupby(cells, sort=False).last()
    if "programs.asked_rows.calls" in runs:
        lines[ASKED] = of_cell["programs.asked_rows.calls"].last()
    # The run with the most seeds first, whose ensemble is shown; of several the newest.
    n_seeds = runs["end_model.seeds"].map(len)
    run_keys = pd.Series(runs.index, index=runs.index)[::-1].groupby(cells, sort=False)
    lines["runs"] = run_keys.agg(lambda of_cell: " ".join(sorted(of_cell, key=lambda run: -n_seeds[run])))
    best = lines["distilled"].fillna(lines["label model"]).rename("best")
    lines = lines.join(best).sort_values(
        ["dataset", "best", "runs"], ascending=[True, False, True], kind="stable", na_position="last"
    )
    rows = lines
    if shown is not None:
        per_dataset = max(1, shown // lines["dataset"].nunique())
        rows = lines[lines.groupby("dataset").cumcount() < per_dataset]
    texts = _texts_of(rows.drop(columns="best"))
    all_texts = _texts_of(lines.drop(columns="best"))
    kept = {"dataset", "runs", "n", "label model", "distilled", "ensemble", "combined", *GROUP_COLUMNS}
    scored = lines[lines["split"] != UNKNOWN]
    score_of = lines.groupby("dataset")["score"]
    if score_of.nunique().max() == 1:
        texts = texts.drop(columns="score")  # the caption says it
    if scored["split"].nunique() < 2:
        texts = texts.drop(columns="split")  # the caption says it
    if all_texts["list price"].groupby(all_texts["dataset"]).nunique().max() == 1:
        texts = texts.drop(columns="list price")  # it says nothing about the settings
    same = [name for name in texts if name not in kept and all_texts[name].nunique() == 1]
    in_all = [f"{name} {texts[name].iloc[0]}" for name in same if texts[name].iloc[0] != UNKNOWN]
    stubs = [name for name in GROUPS if name in texts and name not in same]
    columns = [name for name in texts if name not in (*same, *stubs)]
    for name in columns:
        if name in keys:
            texts[name] = texts[name].str[:CODE_DIGITS] if name == "code" else _shortened(texts[name])
    on = "each dataset's split" if scored["split"].nunique() > 1 else scored["split"].min() if len(scored) else "test"
    return Report(
        name="compare",
        title=f"Finished runs in {outputs}: {len(runs)}" + (f", {len(lines)} settings" * (len(lines) < len(runs))),
        captions=[
            f"Scores on {on} ({_listed(score_of.first())}), mean ± sd over n seeds; coverage on train.",
            f"The same in all: {', '.join(in_all)}.",
        ],
        grids=[
            Grid(title="", frame=texts.set_index(stubs)[columns].rename(columns={"runs": "run"})),
            *cost_grids(lines, zero_shot_usd),
        ],
        notes=[*_run_notes(lines, names, runs, versions, n_hidden=len(lines) - len(rows))],
        missing=[],
        sweep_command="",
        # Counts as integers: a mean over draws of programs may have decimals.
        flat=lines.drop(columns="best").assign(
            programs=[int(count) if count == int(count) else count for count in lines["programs"]]
        ),
    )


def _run_notes(
    lines: pd.DataFrame, names: pd.Series, runs: pd.DataFrame, versions: Sequence[str], *, n_hidden: int
) -> Iterator[str]:
    """Yield what a reader should know of the lines of `compare_runs`."""
    if on_valid := lines.loc[lines["split"] == "valid", "dataset"].unique().tolist():
        yield (
            f"{_and(on_valid)}: test has no labels, so the scores are on valid, whose labels training may have used "
            "(gold=valid)."
        )
    if versions:
        yield f"Runs of one dataset differ in {', '.join(versions)}, so their results are not strictly comparable."
    keys = " (" + runs["data.fingerprint"].str[:KEY_DIGITS] + ")"
    if keyed := [name for name, key in dict(zip(names, keys, strict=True)).items() if name.endswith(key)]:
        yield (
            f"The data of one dataset differ between runs: {_and(keyed)} are separate datasets here, named by the "
            "first digits of data.fingerprint."
        )
    if n_hidden:
        yield f"{n_hidden} more settings with lower scores are not shown; --all shows them."


def _listed(scores: pd.Series) -> str:
    """Return which score the datasets have: "F1 on sms, accuracy on youtube and yelp"; "accuracy" if all have it."""
    if scores.nunique() == 1:
        return str(scores.iloc[0])
    return ", ".join(f"{score} on {_and([*of.index])}" for score, of in scores.groupby(scores, sort=False))


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _texts_of(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare_runs` as texts for people."""
    texts = lines.astype(object)
    distilled = zip(lines["distilled"], lines["sd"], strict=True)
    texts["distilled"] = [UNKNOWN if np.isnan(mean) else aggregate_text(mean, sd) for mean, sd in distilled]
    for name in lines.columns.intersection(["label model", "ensemble", "combined", *GROUP_COLUMNS]):
        texts[name] = lines[name].map("{:.3f}".format, na_action="ignore")
    texts["coverage"] = lines["coverage"].map("{:.3f}".format)
    texts["programs"] = lines["programs"].map(lambda count: f"{count:.1f}".removesuffix(".0"))
    texts["n"] = lines["n"].map("{:.0f}".format, na_action="ignore")
    texts["spent"], texts["list price"] = lines["spent"].map(usd_text), lines["list price"].map(usd_text)
    if ASKED in lines:
        texts[ASKED] = lines[ASKED].map("{:,.0f}".format, na_action="ignore")
    texts["runs"] = lines["runs"].str.split().str[0].str[:SHOWN_KEY_DIGITS]
    return texts.drop(columns="sd").astype(object).fillna(UNKNOWN)


def _shortened(values: pd.Series) -> pd.Series:
    """Return texts of at most 40 characters; a long list, and texts that differ after it, get a key of the whole."""
    keys = values.map(lambda text: key_of("value", text)[:KEY_DIGITS])
    # The beginning of a list or a mapping, such as the sources of programs, tells a reader nothing.
    values = values.mask(values.str.match(r"[\[{]") & (values.str.len() > SHOWN_LIST), "(" + keys + ")")
    cut = values.str[:40]
    if cut.nunique() == values.nunique():
        return cut
    return values.where(values.str.len() <= 40, values.str[:30] + "... (" + keys + ")")
