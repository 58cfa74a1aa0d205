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
        group: The heading above it, which neighbours share; "" for none. Only in tables without datasets as columns.
        score: A key of `runs.GROUP_SCORES`; "" for the dataset's own score, and for what is not a score.
        runs: Members and values of its runs, in addition to the item's.

    """

    quantity: Quantity
    label: str = ""
    group: str = ""
    score: str = ""
    runs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        title: Its number and subject.
        items: What is compared: name -> label.
        runs: Members and values of each item's runs, by its name; an item with a dataset is in no other.
        measures: What is measured of each item, by name.
        rows: The axes of its rows, outer first: "item", "source", "measure", "dataset".
        columns: The axes of its columns.
        datasets: The datasets in it.
        headings: The items' names in a heading that also names the source; `items` where it is empty.
        optional: Items that are not part of its sweep, and why.
        decimals: Decimals of the paper's scores.
        scores: What its scores are, for the caption.
        notes: What a reader should know of its numbers.

    """

    title: str
    items: Mapping[str, str]
    runs: Mapping[str, Mapping[str, Any]]
    measures: Mapping[str, Measure]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    datasets: tuple[str, ...] = paper.DATASETS
    headings: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    decimals: int = 3
    scores: str = "F1 on sms, accuracy elsewhere"
    notes: tuple[str, ...] = ()

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
    "optional": {"zero_shot": "it calls an LLM for every row (alchemist plan says what that costs)"},
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
_IMAGE_METHODS = {
    "clip_zero_shot": "zero-shot",
    "clip_group": "group prompts",
    "roboshot": "RoboShot",
    "alchemist": "Alchemist",
}
"""The methods of table 2 that read the scores of an image encoder."""
_IMAGE_ENCODERS = {
    "clip_vit_b32": ("waterbirds", "CLIP B/32"),
    "clip_vit_l14": ("waterbirds", "CLIP L/14"),
    "clip_toy": ("toy_birds", "toy CLIP"),
}
"""The dataset of each image encoder in table 2, and its heading."""
_VOTES = {"supplement": "none", "selection": "all", **_SNORKEL}
_IMAGE_RUNS: dict[str, dict[str, str]] = {
    # Programs on pixels need no encoder; their distilled model always has the same one.
    **{
        item: {"dataset": dataset, "feature_extractor": encoder, "method": "vanilla_image", **_VOTES}
        for item, dataset, encoder in (
            ("vanilla_image", "waterbirds", "clip_vit_b32"),
            ("clip_toy.vanilla_image", "toy_birds", "clip_toy"),
        )
    },
    **{
        f"{encoder}.{method}": {"dataset": dataset, "feature_extractor": encoder, "method": method}
        | (_VOTES if method == "alchemist" else {})
        for encoder, (dataset, _) in _IMAGE_ENCODERS.items()
        for method in _IMAGE_METHODS
    },
}
_BY_GROUP = {"average": "average", "adjusted_average": "adjusted", "worst_group": "worst group", "gap": "gap"}
"""The accuracies by group in table 2, and their headings."""

TABLES = {
    "table1": PaperTable(
        title="Table 1: the distilled model and the cost of its labels, zero-shot prompting against programs",
        items={"zero_shot": "Zero-shot prompting", "alchemist": "Alchemist"},
        runs={**_ZERO_SHOT, "alchemist": {**_PROGRAMS, **_SNORKEL}},
        **_AGAINST_ZERO_SHOT,
    ),
    "table2": PaperTable(
        title="Table 2: accuracy by group on Waterbirds, and on toy_birds (synthetic)",
        items={
            "vanilla_image": "programs on pixels",
            "clip_toy.vanilla_image": "programs on pixels",
            **{
                f"{encoder}.{method}": f"{heading}: {label}"
                for encoder, (_, heading) in _IMAGE_ENCODERS.items()
                for method, label in _IMAGE_METHODS.items()
            },
        },
        runs=_IMAGE_RUNS,
        measures={
            f"{prefix}{name}": Measure(
                label=label,
                group=quantity,
                quantity=quantity,
                score="worst_accuracy" if name == "worst_group" else name,
            )
            for prefix, quantity in {"": Quantity.LABEL_MODEL, "distilled_": Quantity.DISTILLED}.items()
            for name, label in _BY_GROUP.items()
        },
        rows=("dataset", "item", "source"),
        columns=("measure",),
        datasets=("waterbirds", "toy_birds"),
        optional={
            item: "it needs the images of Waterbirds and the weights of CLIP"
            for item, runs in _IMAGE_RUNS.items()
            if runs["dataset"] == "waterbirds"
        },
        scores=(
            "accuracy of the labels on test by group, a class and a background; average: of all rows; adjusted: of the "
            "groups, weighted by their shares of train; gap: average minus worst group"
        ),
        notes=(
            "The paper does not say how its average is weighted. Waterbirds is usually scored by the adjusted average. "
            "If the paper's average is of this kind, its gap compares with our adjusted average minus our worst group.",
            "CLIP B/32, Alchemist, Claude 3: the paper prints a gap of 0.410; average minus worst group is 0.311.",
            "toy_birds is drawn (synthetic): its scores show that the methods run, and nothing about photos.",
        ),
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
