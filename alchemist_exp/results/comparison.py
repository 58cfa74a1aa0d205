"""The report of `alchemist compare`: a table of the paper with our results and the paper's, or any sweep's table."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.overrides import typed
from alchemist_exp.results import paper
from alchemist_exp.results.aggregate import aggregate, aggregate_text, differences, measurements
from alchemist_exp.results.cost_curve import ASKED, cost_grids
from alchemist_exp.results.filled_table import FilledTable
from alchemist_exp.results.missing import missing_results
from alchemist_exp.results.paper_tables import Quantity
from alchemist_exp.results.report import SHOWN_KEY_DIGITS, UNKNOWN, Grid, Report, usd_text
from alchemist_exp.results.runs import AXES, GROUP_SCORES, SCORES, SYNTHETIC, RunState, dataset_label, settings

_DECIMALS = {Quantity.PROGRAMS: (0, 0), Quantity.COVERAGE: (3, 2), Quantity.DOLLARS: (3, 3)}
"""Decimals of our results and of the paper's; our scores have three, and the paper's as many as it prints."""

_AVERAGED = {
    "figure5": (Quantity.LABEL_MODEL, "draws of programs"),
    "table2": (Quantity.LABEL_MODEL, "seeds of the data"),
}
"""The quantity whose values the caption counts, and what they are over; other tables: the end model's seeds."""

GROUPS = (
    "dataset", "method", "llm", "prompt", "supplement", "vetting", "repair", "refine", "selection", "label_model",
    "sandbox", "feature_extractor", "end_model", "predict", "gold",
)  # fmt: skip
"""The configuration groups that can tell runs apart, in the order of their columns."""

CODE_DIGITS = 7
"""First digits of the version of the code; a filter takes them."""

_FALLBACK = {
    f"{scores.format(split='test')}.{score}{end}": f"{scores.format(split='valid')}.{score}{end}"
    for scores, end, names in (
        ("label_model.metrics.{split}", "", SCORES),
        ("end_model.metrics.{split}", ".per_seed", SCORES),
        ("end_model.ensemble.metrics.{split}", "", SCORES),
        ("end_model.combined.metrics.{split}", "", SCORES),
        ("groups.label_model.{split}", "", GROUP_SCORES),
        ("groups.end_model.{split}", ".per_seed", GROUP_SCORES),
    )
    for score in names
}
"""The values of a record with a score on test, and those with the score on valid."""

KEY_DIGITS = 6
"""First digits of a key that tells two datasets or two lists apart."""

SHOWN_LIST = 20
"""Characters of a list or mapping that is shown as it is; a longer one is shown as a key."""

_GROUP_COLUMNS = {
    f"{score}, {model}": (quantity, key)
    for model, quantity in {"label model": Quantity.LABEL_MODEL, "distilled": Quantity.DISTILLED}.items()
    for key, score in {"worst_accuracy": "worst group", "gap": "gap"}.items()
}
"""The columns of runs with groups in a list of runs, and the quantity and score in each."""

SAID_ONCE = ("method", "supplement", "label_model", "feature_extractor", "gold")
"""Groups whose member is in the caption where it is the same in all runs."""


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
    grids = [*_main_grids(filled), *([_claims_grid(filled)] if filled.name == "table1" else [])]
    means = filled.cells["mean"]
    counts = (filled.cells["quantity"] == Quantity.PROGRAMS) & filled.cells["gold"].notna()
    return Report(
        name=filled.name,
        title=filled.table.title,
        captions=[
            f"Ours: {_averaged_over(filled)}{golds}; {len(filled.finished)} of {n_finished} finished runs.",
            f"Paper: {paper.citation()}. Scores: {filled.table.scores}{covered}.",
        ],
        grids=[*grids, *([] if filled.finished.empty else [_score_grid(filled)])],
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


def _our_sources(filled: FilledTable) -> dict[str, str]:
    """Return our sources of results (one for each gold member) and their headings."""
    return {f"ours:{gold}": "ours" if len(filled.golds) == 1 else f"ours, gold={gold}" for gold in filled.golds}


def _main_grids(filled: FilledTable) -> Iterator[Grid]:
    """Yield the table as the paper prints it, with our results as one source more (one for each gold member).

    Groups of measures are separate grids, without those rows of the paper in which it prints nothing.
    """
    table, cells = filled.table, filled.cells
    sources = {**paper.SOURCES, **_our_sources(filled)}
    items = table.headings or table.items
    headings = {name: (measure.group, measure.label) for name, measure in table.measures.items()}
    measures = {name: ": ".join(filter(None, heading)) or None for name, heading in headings.items()}
    datasets = [*map(dataset_label, table.datasets)]
    decimals = cells["quantity"].map(lambda quantity: _DECIMALS.get(quantity, (3, table.decimals)))
    texts = zip(cells["mean"], cells["sd"], decimals.str[0].where(cells["gold"].notna(), decimals.str[1]), strict=True)
    # The order of the categories is the order of rows and columns.
    labeled = pd.DataFrame(
        {
            "item": pd.Categorical(cells["item"].map(items), [*dict.fromkeys(items.values())]),
            "source": pd.Categorical(cells["source"].map(sources), [*dict.fromkeys(sources.values())]),
            "measure": pd.Categorical(
                cells["measure"].map(measures).fillna(cells["score"].map(SCORES)),
                [*filter(None, measures.values()), *SCORES.values()],
            ),
            "dataset": pd.Categorical(cells["dataset"].map(dataset_label), datasets),
            "text": [UNKNOWN if np.isnan(mean) else aggregate_text(mean, sd, n) for mean, sd, n in texts],
        }
    )
    wide = labeled.pivot(index=list(table.rows), columns=list(table.columns), values="text").fillna(UNKNOWN)
    wide = wide.sort_index().sort_index(axis=1)
    names = wide.columns.to_frame(index=False).astype(str)
    if "dataset" in names:
        groups = [*names.pop("dataset")]
    else:
        of_text = dict(zip(measures.values(), headings.values(), strict=True))
        groups = [of_text[text][0] for text in names["measure"]]
        names["measure"] = [of_text[text][1] for text in names["measure"]]
    wide.columns = pd.MultiIndex.from_arrays([groups, [", ".join(filter(None, name)) for name in names.to_numpy()]])
    stubs = {"item": "", "source": "by", "measure": "", "dataset": "dataset"}
    ours = {*_our_sources(filled).values()}
    frame = wide.rename_axis(index=[stubs[axis] for axis in table.rows])
    if "dataset" in table.columns:
        yield Grid(title="", frame=frame)
        return
    is_ours = wide.index.get_level_values("source").isin(ours)
    for group in dict.fromkeys(groups):
        part = frame.loc[:, [of == group for of in groups]]
        yield Grid(title="", frame=part[is_ours | (part != UNKNOWN).any(axis=1)])


def _claims_grid(filled: FilledTable) -> Grid:
    """Return the abstract's two claims: as stated, by the paper's own table, and by our results in table 1."""
    gain, ratio = paper.claims()
    rows = {"the abstract": [f"{gain:.1%}", UNKNOWN, f"{ratio:,.0f}x"]}
    means = filled.cells.pivot(index=["source", "measure", "dataset"], columns="item", values="mean")
    means = means.reindex(columns=["zero_shot", "alchemist"]).dropna()
    sources, measures = means.index.get_level_values("source"), means.index.get_level_values("measure")
    for source, label in {"gpt-3.5": "the paper's table", **_our_sources(filled)}.items():
        scores, dollars = (means[(sources == source) & (measures == name)] for name in ("distilled", "cost_usd"))
        gains = (scores["alchemist"] / scores["zero_shot"].replace(0, np.nan) - 1).dropna()
        improved = gains[gains > 0]
        in_improved = UNKNOWN if improved.empty else f"{improved.mean():.1%}"
        zero_shot, programs = dollars["zero_shot"].sum(), dollars["alchemist"].sum()
        rows[label] = [
            "needs zero-shot runs" if gains.empty else f"{in_improved} ({len(improved)} of {len(gains)} improve)",
            UNKNOWN if gains.empty else f"{gains.mean():.1%}",
            f"{zero_shot / programs:,.0f}x (over {len(dollars)})" if programs else UNKNOWN,
        ]
    title = "The abstract's claims: relative gain over zero-shot labeling, its cost divided by the programs' cost"
    columns = ["gain where programs improve", "gain over all", "summed costs, by datasets"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return Grid(title=title, frame=frame.rename_axis(index=""))


def _score_grid(filled: FilledTable) -> Grid:
    """Return every score of each set of runs and how many programs voted; distilled scores if the table has them."""
    quantities = [Quantity.LABEL_MODEL, Quantity.DISTILLED]
    quantities = quantities if Quantity.DISTILLED in {*filled.cells["quantity"]} else quantities[:1]
    runs = filled.of_places.join(
        filled.finished[["label_model", "programs.selected", "label_model.coverage.train"]], on="run", how="inner"
    )
    runs = runs.assign(
        dataset=runs["dataset"].map(dataset_label),
        item=runs["item"].map(filled.table.items),
        label_model=runs["label_model"].fillna(UNKNOWN),
    )
    by = ["dataset", "item", "label_model", "gold"]
    scores = aggregate(runs[[*by, "run"]].drop_duplicates(), filled.finished, quantities)
    scores["text"] = [aggregate_text(mean, sd) for mean, sd in zip(scores["mean"], scores["sd"], strict=True)]
    columns = pd.MultiIndex.from_product([quantities, SCORES])
    texts = scores.pivot(index=by, columns=["quantity", "score"], values="text").reindex(columns=columns)
    texts.columns = pd.MultiIndex.from_tuples([(quantity, SCORES[score]) for quantity, score in columns])
    sets, counted = runs.groupby(by, sort=False), scores[scores["quantity"] == quantities[-1]].groupby(by)["n"].max()
    counts = {
        ("", "seeds" if len(quantities) > 1 else "draws"): counted.astype(str),
        ("", "programs"): sets["programs.selected"].agg(_range_text, "d"),
        ("", "coverage"): sets["label_model.coverage.train"].agg(_range_text, ".3f"),
    }
    frame = pd.concat([pd.DataFrame(counts), texts], axis=1).reindex(runs.set_index(by).index.unique()).fillna(UNKNOWN)
    title = "All scores of our runs; the label model's over the rows that have a label; coverage on train"
    return Grid(title=title, frame=frame.rename_axis(index={"item": "", "label_model": "label model"}))


def _range_text(values: pd.Series, form: str) -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} to {high}"


def compare_runs(runs: pd.DataFrame, outputs: Path, *, shown: int | None = None) -> Report:
    """Return the table of any sweep: a row for each setting, seeds averaged, a column for each key that matters.

    Args:
        runs: Rows of `RunIndex.runs`, of which at least one has finished.
        outputs: Their outputs directory.
        shown: How many rows the table has at most, the best of each dataset; None for all of them.

    Returns:
        The report. Its rows are sorted by dataset and score; what is the same in all runs is in its captions.

    """
    runs, splits = _scored(runs[runs["state"] == RunState.DONE])
    names = _dataset_names(runs)
    cells, keys, versions = _cells_of(runs, names)
    of_cell = runs.groupby(cells, sort=False)
    lines = pd.concat([keys.groupby(cells, sort=False).first(), _results_of(runs, cells)], axis=1)
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
    kept = {"dataset", "runs", "n", "label model", "distilled", "ensemble", "combined", *_GROUP_COLUMNS}
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


def _scored(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Return the runs with scores on valid in the place of those on test, where test has none; and the split of each.

    The split is "test", "valid", or UNKNOWN where no split has labels.
    """
    runs = runs.copy()

    def has_score(columns: Iterable[str]) -> pd.Series:
        return runs.reindex(columns=columns).notna().any(axis=1)

    on_test = has_score(_FALLBACK)
    on_valid = ~on_test & has_score(_FALLBACK.values())
    for test, valid in _FALLBACK.items():
        if valid in runs and on_valid.any():
            runs[test] = runs.get(test, pd.Series(np.nan, index=runs.index, dtype=object)).where(~on_valid, runs[valid])
    split = pd.Series(UNKNOWN, index=runs.index).mask(on_test, "test").mask(on_valid, "valid")
    return runs, split


def _dataset_names(runs: pd.DataFrame) -> pd.Series:
    """Return a name of each run's data: the member, and what tells apart data of the same member.

    Members such as files are of any data: the last part of the path is added, then dataset.limit, then first digits of
    the fingerprint, each only where the data differ without it.
    """
    names, data = runs["dataset"].astype(str).map(dataset_label), _fingerprints(runs)
    path, limit = (runs.get(f"config.dataset.{key}", pd.Series(np.nan, index=runs.index)) for key in ("path", "limit"))
    parts = (
        " " + path.map(lambda value: Path(value).name if isinstance(value, str) else ""),
        limit.map(lambda value: f" limit={value:.0f}" if isinstance(value, int | float) and value == value else ""),
        " (" + data.str[:KEY_DIGITS] + ")",
    )
    for part in parts:
        ambiguous = data.groupby(names).transform("nunique") > 1
        telling = part.groupby(names).transform("nunique") > 1
        names = names.where(~(ambiguous & telling), (names + part).str.rstrip())
    return names


def _fingerprints(runs: pd.DataFrame) -> pd.Series:
    """Return the fingerprints of the runs' data; "" for drawn data, which differ with their seed."""
    drawn = runs.get("config.dataset.seed", pd.Series(np.nan, index=runs.index)).notna()
    return runs["data.fingerprint"].astype(str).mask(drawn, "")


def _cells_of(runs: pd.DataFrame, names: pd.Series) -> tuple[pd.Series, pd.DataFrame, list[str]]:
    """Return which runs are averaged, and what tells the averages apart.

    Args:
        runs: The finished runs.
        names: The name of each run's data.

    Returns:
        The number of its cell for each run (runs of a cell differ in seeds only), a column for each group that differs
        and each key that differs within one dataset and is not implied by another, as text, and those of them that are
        versions of code and packages.

    """
    seeds = ["seed.name", "seed.values", "selection.seed", "dataset.seed"]
    values = settings(runs).drop(columns=seeds, errors="ignore").assign(**{"data.fingerprint": _fingerprints(runs)})
    values = values.drop(columns=[key for key in values if key.startswith("llm.price.")])  # it alters no score
    cells = values.fillna("").groupby([*values], sort=False).ngroup()
    # A seed may score differently alone and together with others; such runs are separate rows.
    measured = measurements(runs).join(cells.rename("cell"), on="run")
    measured = measured[measured["quantity"] != Quantity.DOLLARS]
    differing = measured.groupby(["cell", "quantity", "score", "data_seed", "seed"])["value"].nunique() > 1
    split = cells.isin(differing[differing].index.get_level_values("cell"))
    cells = cells.where(~split, pd.Series(range(len(runs)), index=runs.index) + len(runs))
    groups = {group: runs[group] for group in GROUPS if group in runs}
    columns = {group: of for group, of in groups.items() if group == "dataset" or of.dropna().nunique() > 1}
    columns["dataset"] = names
    if split.any():
        columns["seed"] = runs["seed"]
    # selection.n is an axis of figure 5, where it may differ.
    differ = [key for _, key in differences(runs, AXES - {"selection.n"}) if key in values]
    versions = [key for key in dict.fromkeys(differ) if key.partition(".")[0] in ("code", "packages")]
    for key in dict.fromkeys([*versions, *sorted(differ)]):
        implied_by = [names, *([columns[group]] if (group := key.partition(".")[0]) in columns else [])]
        if values[key].groupby(implied_by).nunique().gt(1).any():
            columns[key] = values[key]
    # What is the same in all runs is said once, also of groups that do not differ.
    columns |= {group: of for group, of in groups.items() if group in SAID_ONCE and group not in columns}
    return cells, pd.DataFrame(columns, index=runs.index).fillna(UNKNOWN), [v for v in versions if v in columns]


def _results_of(runs: pd.DataFrame, cells: pd.Series) -> pd.DataFrame:
    """Return the averages of each cell: scores, their deviation and seeds, programs, coverage and dollars.

    Worst groups and gaps are columns if a run has groups.
    """
    metric = runs["config.dataset.metric"].where(runs["config.dataset.metric"].isin(SCORES), "accuracy")
    results = aggregate(pd.DataFrame({"cell": cells.to_numpy(), "run": runs.index}), runs, set(Quantity))
    own = results["score"] == results["cell"].map(dict(zip(cells, metric, strict=True)))
    of_groups = results[results["score"].isin(GROUP_SCORES)]
    by_group = of_groups.pivot(index="cell", columns=["quantity", "score"], values="mean")
    by_group = by_group.reindex(index=cells.unique(), columns=pd.MultiIndex.from_tuples(_GROUP_COLUMNS.values()))
    by_group = by_group.set_axis([*_GROUP_COLUMNS], axis=1).dropna(axis=1, how="all")
    results = results[(results["score"] == "") | own].pivot(index="cell", columns="quantity")
    results = results.reindex(index=cells.unique())

    several = runs["end_model.seeds"].map(len) > 1  # with one seed it is the distilled score again
    single = {
        name: _mean_of_cells(runs, cells, metric, path, where)
        for name, path, where in (
            ("ensemble", "end_model.ensemble.metrics.test", several),
            ("combined", "end_model.combined.metrics.test", several | True),
        )
    }

    def value(name: str, quantity: Quantity) -> pd.Series:
        found: pd.Series = results.get((name, quantity), pd.Series(np.nan, index=results.index))
        return found

    return pd.DataFrame(
        {
            "programs": value("mean", Quantity.PROGRAMS),
            "coverage": value("mean", Quantity.COVERAGE),
            "score": "",
            "split": "",
            "label model": value("mean", Quantity.LABEL_MODEL),
            "distilled": value("mean", Quantity.DISTILLED),
            "sd": value("sd", Quantity.DISTILLED),
            "n": value("n", Quantity.DISTILLED),
            **{name: means for name, means in single.items() if means.notna().any()},
            **by_group,
            Quantity.DOLLARS.value: value("mean", Quantity.DOLLARS),
        }
    )


def _mean_of_cells(runs: pd.DataFrame, cells: pd.Series, metric: pd.Series, path: str, where: pd.Series) -> pd.Series:
    """Return each cell's mean of the dataset's own score under a path of the record; NaN where no run has it."""
    own = pd.Series(np.nan, index=runs.index, dtype=object)
    for name in SCORES:
        own = own.mask(metric == name, runs.get(f"{path}.{name}", own))
    return pd.to_numeric(own, errors="coerce").where(where).groupby(cells, sort=False).mean()


def _texts_of(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare_runs` as texts for people."""
    texts = lines.astype(object)
    distilled = zip(lines["distilled"], lines["sd"], strict=True)
    texts["distilled"] = [UNKNOWN if np.isnan(mean) else aggregate_text(mean, sd) for mean, sd in distilled]
    for name in lines.columns.intersection(["label model", "ensemble", "combined", *_GROUP_COLUMNS]):
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
