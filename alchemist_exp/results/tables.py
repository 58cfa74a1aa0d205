"""The paper's tables: what stands in them, and which runs give our figure for each place.

A table is laid out along four axes: the item that is compared, the source of the figure (a model of the paper's, or
ours), what is measured, and the dataset. Runs that use gold labels otherwise are another source, never mixed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from alchemist_exp.results import paper
from alchemist_exp.results.runs import as_text


class Axis(StrEnum):
    """One of the four directions of a table."""

    ITEM = "item"
    SOURCE = "source"
    MEASURE = "measure"
    DATASET = "dataset"


class Quantity(StrEnum):
    """What can be measured."""

    PROGRAMS = "programs"
    COVERAGE = "coverage"
    DOLLARS = "dollars"
    LABEL_MODEL = "label model, test"
    DISTILLED = "distilled, test"


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that is compared. runs: the members and values of its runs. short: its name beside a source's."""

    label: str
    runs: Mapping[str, Any]
    short: str = ""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure of each item. label: its heading; "" where the score's name says it. runs: which runs, further."""

    quantity: Quantity
    label: str = ""
    runs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper. optional: items that are not part of its sweep. decimals: of the paper's scores."""

    title: str
    items: Mapping[str, Item]
    measures: Mapping[str, Measure]
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    datasets: tuple[str, ...] = paper.DATASETS
    optional: tuple[str, ...] = ()
    decimals: int = 3


_GENERAL = {"method": "alchemist", "supplement": "none", "selection": "all"}
_SNORKEL = {"label_model": "snorkel"}
_LABEL_MODELS = {
    "weighted_majority": "Weighted majority vote",
    "dawid_skene": "Dawid-Skene",
    "flyingsquid": "FlyingSquid",
    "snorkel": "Snorkel",
}
_STRATEGIES = {
    "none": "General prompt",
    "description": "+ dataset description",
    "exemplars": "+ 5 data exemplars",
    "keywords": "+ keywords",
    "rules": "+ labeling rules",
}
_ZERO_SHOT = {"zero_shot": Item(label="Zero-shot prompting", runs={"method": "zero_shot"})}
_AUTHORS = {
    "human": Item(label="Human-crafted", short="human", runs={"method": "human"}),
    "alchemist": Item(label="Synthesized", runs=_GENERAL),
}
_PRICED = {
    "cost_usd": Measure(label="cost, $", quantity=Quantity.DOLLARS),
    "distilled": Measure(quantity=Quantity.DISTILLED),
}
_COUNTED = {
    "programs": Measure(label="programs", quantity=Quantity.PROGRAMS, runs=_SNORKEL),
    "coverage": Measure(label="coverage", quantity=Quantity.COVERAGE, runs=_SNORKEL),
}

TABLES = {
    "table1": Table(
        title="Table 1: the distilled model and the cost of its labels, zero-shot prompting against programs",
        items={**_ZERO_SHOT, "alchemist": Item(label="Alchemist", runs={**_GENERAL, **_SNORKEL})},
        measures=_PRICED,
        rows=(Axis.ITEM, Axis.SOURCE),
        columns=(Axis.DATASET, Axis.MEASURE),
        optional=("zero_shot",),
    ),
    "table3": Table(
        title="Table 3: the label model by prompting strategy",
        items={
            name: Item(label=label, runs={**_GENERAL, **_SNORKEL, "supplement": name})
            for name, label in _STRATEGIES.items()
        },
        measures={"label_model": Measure(quantity=Quantity.LABEL_MODEL)},
        rows=(Axis.ITEM,),
        columns=(Axis.DATASET, Axis.SOURCE),
        decimals=2,
    ),
    "table4": Table(
        title="Table 4: human-crafted against synthesized programs",
        items=_AUTHORS,
        measures={**_COUNTED, "distilled": Measure(label="performance", quantity=Quantity.DISTILLED, runs=_SNORKEL)},
        rows=(Axis.MEASURE,),
        columns=(Axis.DATASET, Axis.ITEM, Axis.SOURCE),
        datasets=paper.DATASETS[:4],
        decimals=2,
    ),
    "table8": Table(
        title="Table 8: the distilled model by label model",
        items={
            **_ZERO_SHOT,
            **{
                name: Item(label=label, runs={**_GENERAL, "label_model": name}) for name, label in _LABEL_MODELS.items()
            },
        },
        measures=_PRICED,
        rows=(Axis.ITEM, Axis.SOURCE),
        columns=(Axis.DATASET, Axis.MEASURE),
        optional=("zero_shot",),
    ),
    "table9": Table(
        title="Table 9: the distilled model by label model, on human-crafted and synthesized programs",
        items=_AUTHORS,
        measures={
            **_COUNTED,
            **{
                name: Measure(label=label, quantity=Quantity.DISTILLED, runs={"label_model": name})
                for name, label in _LABEL_MODELS.items()
            },
        },
        rows=(Axis.DATASET, Axis.ITEM, Axis.SOURCE),
        columns=(Axis.MEASURE,),
        datasets=paper.DATASETS[:4],
        decimals=2,
    ),
    "figure5": Table(
        title="Figure 5: the label model as programs are drawn from each of five strategies",
        items={
            str(n): Item(
                label=f"{n} from each strategy",
                runs={
                    "method": "alchemist",
                    "supplement": "mixed",
                    "selection": "random",
                    "selection.n": n,
                    **_SNORKEL,
                },
            )
            for n in range(4, 10)
        },
        measures={"label_model": Measure(quantity=Quantity.LABEL_MODEL)},
        rows=(Axis.ITEM,),
        columns=(Axis.DATASET, Axis.SOURCE),
        datasets=("sms", "yelp", "imdb"),
    ),
}
"""By the name of their experiment."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place for a figure of ours, and the members and values of the runs that give it."""

    item: str
    measure: str
    dataset: str
    runs: Mapping[str, Any]


def places(table: Table, filters: Mapping[str, Sequence[str]]) -> Iterator[Place]:
    """The places of a table that the filters leave."""
    for name, item in table.items.items():
        for dataset in table.datasets:
            for measure, measured in table.measures.items():
                runs = {"dataset": dataset, **item.runs, **measured.runs}
                if all(as_text(runs[key]) in texts for key, texts in filters.items() if key in runs):
                    yield Place(item=name, measure=measure, dataset=dataset, runs=runs)
