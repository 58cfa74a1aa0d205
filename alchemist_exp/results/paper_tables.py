"""The paper's tables: what each compares and measures, and which runs give our results for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from alchemist_exp.results import paper


class Quantity(StrEnum):
    """What a run measures."""

    PROGRAMS = "programs"
    COVERAGE = "coverage"
    DOLLARS = "dollars"
    LABEL_MODEL = "label model, test"
    DISTILLED = "distilled, test"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A quantity of each item in a table.

    Attributes:
        quantity: What is measured.
        label: Its heading; "" where the name of the score is the heading.
        runs: Members and values of its runs, in addition to the item's.

    """

    quantity: Quantity
    label: str = ""
    runs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        title: Its number and subject.
        items: What is compared: name -> label.
        runs: Members and values of each item's runs, by its name.
        measures: What is measured of each item, by name.
        rows: The axes of its rows, outer first: "item", "source", "measure", "dataset".
        columns: The axes of its columns.
        datasets: The datasets in it.
        headings: The items' names in a heading that also names the source; `items` where it is empty.
        optional: Items that are not part of its sweep.
        decimals: Decimals of the paper's scores.

    """

    title: str
    items: Mapping[str, str]
    runs: Mapping[str, Mapping[str, Any]]
    measures: Mapping[str, Measure]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    datasets: tuple[str, ...] = paper.DATASETS
    headings: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    decimals: int = 3

    @property
    def axes(self) -> frozenset[str]:
        """The groups and keys in which its runs differ on purpose."""
        selectors = [*self.runs.values(), *(measure.runs for measure in self.measures.values())]
        return frozenset({"dataset", "gold"}.union(*selectors))


_PROGRAMS = {"method": "alchemist", "supplement": "none", "selection": "all"}
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
_DISTILLED, _LABEL_MODEL = Measure(quantity=Quantity.DISTILLED), Measure(quantity=Quantity.LABEL_MODEL)
_AGAINST_ZERO_SHOT: dict[str, Any] = {
    "measures": {"cost_usd": Measure(label="cost, $", quantity=Quantity.DOLLARS), "distilled": _DISTILLED},
    "rows": ("item", "source"),
    "columns": ("dataset", "measure"),
    "optional": ("zero_shot",),
}
_AGAINST_HUMAN: dict[str, Any] = {
    "items": {"human": "Human-crafted", "alchemist": "Synthesized"},
    "runs": {"human": {"method": "human"}, "alchemist": _PROGRAMS},
    "datasets": paper.DATASETS[:4],
    "decimals": 2,
}
_COUNTS = {
    "programs": Measure(label="programs", quantity=Quantity.PROGRAMS, runs=_SNORKEL),
    "coverage": Measure(label="coverage", quantity=Quantity.COVERAGE, runs=_SNORKEL),
}
_ZERO_SHOT = {"zero_shot": {"method": "zero_shot"}}

TABLES = {
    "table1": PaperTable(
        title="Table 1: the distilled model and the cost of its labels, zero-shot prompting against programs",
        items={"zero_shot": "Zero-shot prompting", "alchemist": "Alchemist"},
        runs={**_ZERO_SHOT, "alchemist": {**_PROGRAMS, **_SNORKEL}},
        **_AGAINST_ZERO_SHOT,
    ),
    "table3": PaperTable(
        title="Table 3: the label model by prompting strategy",
        items=_STRATEGIES,
        runs={name: {**_PROGRAMS, **_SNORKEL, "supplement": name} for name in _STRATEGIES},
        measures={"label_model": _LABEL_MODEL},
        rows=("item",),
        columns=("dataset", "source"),
        decimals=2,
    ),
    "table4": PaperTable(
        title="Table 4: human-crafted against synthesized programs",
        measures={**_COUNTS, "distilled": Measure(label="performance", quantity=Quantity.DISTILLED, runs=_SNORKEL)},
        rows=("measure",),
        columns=("dataset", "item", "source"),
        headings={"human": "human", "alchemist": ""},
        **_AGAINST_HUMAN,
    ),
    "table8": PaperTable(
        title="Table 8: the distilled model by label model",
        items={"zero_shot": "Zero-shot prompting", **_LABEL_MODELS},
        runs={**_ZERO_SHOT, **{name: {**_PROGRAMS, "label_model": name} for name in _LABEL_MODELS}},
        **_AGAINST_ZERO_SHOT,
    ),
    "table9": PaperTable(
        title="Table 9: the distilled model by label model, on human-crafted and synthesized programs",
        measures={
            **_COUNTS,
            **{
                name: Measure(label=label, quantity=Quantity.DISTILLED, runs={"label_model": name})
                for name, label in _LABEL_MODELS.items()
            },
        },
        rows=("dataset", "item", "source"),
        columns=("measure",),
        **_AGAINST_HUMAN,
    ),
    "figure5": PaperTable(
        title="Figure 5: the label model as programs are drawn from each of five strategies",
        items={str(n): f"{n} from each strategy" for n in range(4, 10)},
        runs={
            str(n): {**_PROGRAMS, **_SNORKEL, "supplement": "mixed", "selection": "random", "selection.n": n}
            for n in range(4, 10)
        },
        measures={"label_model": _LABEL_MODEL},
        rows=("item",),
        columns=("dataset", "source"),
        datasets=("sms", "yelp", "imdb"),
    ),
}
"""The tables by the names of their experiments."""
