"""The grids of a table of the paper: the table with our results, the abstract's claims, and all scores."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from alchemist_exp.results import paper
from alchemist_exp.results.aggregate import aggregate, aggregate_text
from alchemist_exp.results.filled_table import FilledTable
from alchemist_exp.results.paper_tables import Quantity
from alchemist_exp.results.record import SCORES
from alchemist_exp.results.report import UNKNOWN, Grid
from alchemist_exp.results.run_names import dataset_label

_DECIMALS = {Quantity.PROGRAMS: (0, 0), Quantity.COVERAGE: (3, 2), Quantity.DOLLARS: (3, 3)}
"""Decimals of our results and of the paper's; our scores have three, and the paper's as many as it prints."""


def _our_sources(filled: FilledTable) -> dict[str, str]:
    """Return our sources of results (one for each gold member) and their headings."""
    return {f"ours:{gold}": "ours" if len(filled.golds) == 1 else f"ours, gold={gold}" for gold in filled.golds}


def main_grids(filled: FilledTable) -> Iterator[Grid]:
    """Yield the table as the paper prints it, with our results as one source more (one for each gold member).

    Args:
        filled: The table with our results.

    Yields:
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


def claims_grid(filled: FilledTable) -> Grid:
    """Return the abstract's two claims: as stated, by the paper's own table, and by our results in table 1.

    Args:
        filled: Table 1 with our results.

    Returns:
        A row for each source.

    """
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


def score_grid(filled: FilledTable) -> Grid:
    """Return every score of each set of runs and how many programs voted; distilled scores if the table has them.

    Args:
        filled: The table with our results, of which there is one at least.

    Returns:
        A row for each set of runs that differ in their seeds only.

    """
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
