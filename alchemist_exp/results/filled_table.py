"""A table of the paper with our results, from finished runs that were made in the same way.

A place in a table is an item that is compared (a prompting strategy), a measure and a dataset. Each place has the
paper's numbers, by source (the model that wrote the programs), and ours. Runs that may use different gold labels are
different sources.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.results import paper
from alchemist_exp.results.aggregate import aggregate, refuse_mixed
from alchemist_exp.results.paper_tables import TABLES, PaperTable, Quantity
from alchemist_exp.results.run_filters import as_text, select
from alchemist_exp.results.runs import RunState


class Place(NamedTuple):
    """A place for a result of ours, and the members and values of the runs that give it."""

    item: str
    measure: str
    dataset: str
    runs: Mapping[str, Any]


def places(table: PaperTable, filters: Mapping[str, Sequence[str]]) -> list[Place]:
    """Return the places of a table that the filters leave.

    Args:
        table: The table.
        filters: As in `run_filters.narrow`; {} leaves all.

    Returns:
        The places, by item, dataset and measure.

    """
    found = (
        Place(item, measure, dataset, {"dataset": dataset, **table.runs[item], **table.measures[measure].runs})
        for item in table.items
        for dataset in table.datasets
        for measure in table.measures
        if table.runs[item].get("dataset", dataset) == dataset
    )
    return [
        place
        for place in found
        if all(as_text(place.runs[key]) in texts for key, texts in filters.items() if key in place.runs)
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class FilledTable:
    """A table of the paper with our results.

    Attributes:
        name: Its key in `TABLES`.
        table: What is in it.
        places: The places that the filters leave.
        golds: Which gold labels our runs could use; each is a source of results.
        runs: The runs that count, finished or not: rows of `RunIndex.runs`.
        n_limited: How many do not count, since they are over a part of their dataset.
        of_places: One row for each run of each place: `item`, `measure`, `dataset`, `gold`, `run`.
        cells: One row for each number of the paper, then one for each result of ours: `item`, `source` (a key of
            `paper.SOURCES`, or "ours:" and the gold member), `measure`, `dataset`, `quantity`, `score` ("" where the
            quantity is not a score), `mean`, and for ours `gold`, `sd` and `n`; NaN where there is no result.

    """

    name: str
    table: PaperTable
    places: Sequence[Place]
    golds: Sequence[str]
    runs: pd.DataFrame
    n_limited: int
    of_places: pd.DataFrame
    cells: pd.DataFrame

    @property
    def finished(self) -> pd.DataFrame:
        """The runs that give results."""
        return self.runs[self.runs["state"] == RunState.DONE]


def fill(name: str, runs: pd.DataFrame, filters: Mapping[str, Sequence[str]]) -> FilledTable:
    """Fill a table of the paper with the results of finished runs.

    Args:
        name: A key of `TABLES`.
        runs: Rows of `RunIndex.runs` that pass the filters.
        filters: The filters, which leave out places too.

    Returns:
        The table. Its means are over seeds; figure 5's over draws of programs.

    Raises:
        ConfigError: A filter names an unknown member, or runs were not made in the same way.

    """
    table = TABLES[name]
    for key, texts in filters.items():
        known = {as_text(place.runs[key]) for place in places(table, {}) if key in place.runs}
        if unknown := [text for text in texts if known and text not in known]:
            raise ConfigError(f"in {name}, {unknown_name(key, unknown[0], known)}")
    wanted = places(table, filters)
    runs_of = select(runs, [place.runs for place in wanted])
    fitting = runs[runs.index.isin({run for of_place in runs_of for run in of_place})]
    # The paper's results are over whole datasets; runs over a part of one count only where there are no others.
    whole = fitting[fitting["config.dataset.limit"].isna()]
    counted = fitting if whole.empty else whole
    finished = counted[counted["state"] == RunState.DONE]
    refuse_mixed(finished, table.axes, name)
    golds = sorted({*finished["gold"]}, key=lambda gold: (gold != "valid", gold)) or ["valid"]
    gold_of = counted["gold"].to_dict()
    of_places = pd.DataFrame(
        [
            (*place[:3], gold, run)
            for place, of_place in zip(wanted, runs_of, strict=True)
            for gold in golds
            for run in of_place
            if gold_of.get(run) == gold
        ],
        columns=["item", "measure", "dataset", "gold", "run"],
    )
    return FilledTable(
        name=name,
        table=table,
        places=wanted,
        golds=golds,
        runs=counted,
        n_limited=len(fitting) - len(counted),
        of_places=of_places,
        cells=_cells(name, wanted, golds, of_places, finished),
    )


def _cells(
    name: str, wanted: Sequence[Place], golds: Sequence[str], of_places: pd.DataFrame, finished: pd.DataFrame
) -> pd.DataFrame:
    """Return `FilledTable.cells`."""
    there = {place[:3] for place in wanted}
    printed = [(*at, number) for at, number in paper.numbers(name).items() if (at[0], *at[2:]) in there]
    ours = [
        (item, f"ours:{gold}", measure, dataset, np.nan, gold) for item, measure, dataset, _ in wanted for gold in golds
    ]
    cells = pd.concat(
        [
            pd.DataFrame(printed, columns=["item", "source", "measure", "dataset", "printed"]),
            pd.DataFrame(ours, columns=["item", "source", "measure", "dataset", "printed", "gold"]),
        ]
    )
    measures = TABLES[name].measures
    quantities = {name: measure.quantity for name, measure in measures.items()}
    cells["quantity"] = cells["measure"].map(quantities)
    scored = cells["quantity"].isin([Quantity.LABEL_MODEL, Quantity.DISTILLED])
    by_group = cells["measure"].map({name: measure.score for name, measure in measures.items()})
    cells["score"] = by_group.where(by_group != "", cells["dataset"].map(paper.score_of).where(scored, ""))
    at = ["item", "measure", "dataset", "gold", "quantity", "score"]
    cells = cells.merge(aggregate(of_places, finished, set(quantities.values())), how="left", on=at)
    cells = cells.astype({"printed": float, "mean": float, "sd": float})
    # What zero-shot labeling would cost is estimated in every run.
    usd = finished["cost.break_even.zero_shot_usd"].astype(float)
    estimates = usd.groupby([finished["dataset"], finished["gold"]]).max().rename("estimate")
    cells = cells.merge(estimates.reset_index(), how="left", on=["dataset", "gold"])
    estimated = (cells["item"] == "zero_shot") & (cells["quantity"] == Quantity.DOLLARS)
    cells["mean"] = cells["mean"].fillna(cells["printed"]).fillna(cells["estimate"].where(estimated))
    cells["n"] = cells["n"].fillna(1).where(cells["mean"].notna() & cells["gold"].notna())
    return cells.drop(columns=["printed", "estimate"])
