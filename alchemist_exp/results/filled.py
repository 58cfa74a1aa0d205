"""A table of the paper with our figures in it, from finished runs that were made alike."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.results import paper
from alchemist_exp.results.figures import Figure, figure, refuse_mixed
from alchemist_exp.results.runs import Run, State, as_text
from alchemist_exp.results.tables import TABLES, Place, Quantity, Table, places

At = tuple[str, str, str, str]
"""Item, source, measure, dataset."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A table with its figures.

    golds: which gold labels our runs could use, each a source. runs: all that count. limited: how many do not, since
    they are over a part of their dataset.
    """

    name: str
    table: Table
    places: Sequence[Place]
    golds: Sequence[str]
    runs: Sequence[Run]
    limited: int
    printed: Mapping[At, float]
    ours: Mapping[At, Figure]

    @property
    def finished(self) -> list[Run]:
        """Those that give figures."""
        return [run for run in self.runs if run.state is State.DONE]

    def runs_of(self, place: Place, gold: str) -> list[Run]:
        """All runs, finished or not, that were to give this place's figure."""
        return [run for run in self.runs if run.is_of({**place.runs, "gold": gold})]


def fill(name: str, runs: Sequence[Run], filters: Mapping[str, Sequence[str]]) -> Filled:
    """The table `name` with the figures of finished runs. ConfigError when they were not made alike."""
    table = TABLES[name]
    _refuse_unknown(name, filters)
    wanted = list(places(table, filters))
    selectors = list({repr(place.runs): place.runs for place in wanted}.values())
    fitting = [run for run in runs if any(run.is_of(selector) for selector in selectors)]
    # The paper's figures are over whole datasets; a trial over some rows does not stand in their way.
    counted = [run for run in fitting if run.values.get("dataset.limit") is None] or fitting
    finished = [run for run in counted if run.state is State.DONE]
    refuse_mixed(finished, name)
    golds = sorted({run.member("gold") for run in finished}, key=lambda gold: (gold != "valid", gold)) or ["valid"]
    ours = {}
    for place, gold in itertools.product(wanted, golds):
        quantity = table.measures[place.measure].quantity
        giving = [run for run in finished if run.is_of({**place.runs, "gold": gold})]
        if not giving and quantity is Quantity.DOLLARS and place.item == "zero_shot":
            # What zero-shot labeling would cost is estimated in every run.
            giving = [run for run in finished if run.is_of({"dataset": place.dataset, "gold": gold})]
            known = [run.figures.zero_shot_usd for run in giving if run.figures and run.figures.zero_shot_usd]
            found = Figure(mean=max(known)) if known else None
        else:
            found = figure(quantity, giving, paper.score_of(place.dataset))
        if found is not None:
            ours[place.item, ours_with(gold), place.measure, place.dataset] = found
    there = {(place.item, place.measure, place.dataset) for place in wanted}
    printed = {at: number for at, number in paper.numbers(name).items() if (at[0], at[2], at[3]) in there}
    return Filled(
        name=name,
        table=table,
        places=wanted,
        golds=golds,
        runs=counted,
        limited=len(fitting) - len(counted),
        printed=printed,
        ours=ours,
    )


def _refuse_unknown(name: str, filters: Mapping[str, Sequence[str]]) -> None:
    """ConfigError for a filter that leaves nothing of the table because of a word that does not occur in it."""
    selectors = [place.runs for place in places(TABLES[name], {})]
    for key, texts in filters.items():
        known = {as_text(runs[key]) for runs in selectors if key in runs}
        for text in texts:
            if known and text not in known:
                raise ConfigError(f"in {name}, {unknown_name(key, text, known)}")


def ours_with(gold: str) -> str:
    """The name of our figures as a source."""
    return f"ours:{gold}"
