"""The paper's numbers, as printed, and what its abstract claims of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = {"wrench": "paper", "gpt-3.5": "GPT-3.5", "gpt-4": "GPT-4", "claude-3": "Claude 3"}
"""Whose programs or answers the paper's numbers are of; GPT-3.5 is its base."""

TABLES = ("figure5", "table1", "table3", "table4", "table8", "table9")
"""What can be compared with the paper; a table that distils a model, or figure 5."""

DATASETS = ("youtube", "sms", "yelp", "imdb", "medabs", "cancer", "finance", "french")
"""The paper's text datasets in the order of its tables."""


@cache
def _printed() -> Mapping[str, Any]:
    printed: Mapping[str, Any] = json.loads(Path(__file__).with_name("paper.json").read_text(encoding="utf-8"))
    return printed


def citation() -> str:
    """The paper's authors, title and year."""
    return str(_printed()["citation"])


def train_rows(dataset: str) -> int:
    """How many training rows the paper had of a dataset (Table 5)."""
    return int(_printed()["train_rows"][dataset])


def numbers(table: str) -> dict[tuple[str, str, str, str], float]:
    """(item, source, measure, dataset) -> what the paper prints; empty for figure 5, which prints no numbers."""
    return {
        (item, source, measure, dataset): float(number)
        for item, sources in _printed()["tables"].get(table, {}).items()
        for source, measures in sources.items()
        for measure, datasets in measures.items()
        for dataset, number in datasets.items()
    }


def score_of(dataset: str) -> str:
    """The score the paper reports: F1 of spam on sms, accuracy elsewhere."""
    return "f1" if dataset == "sms" else "accuracy"


@dataclass(frozen=True, kw_only=True)
class Claims:
    """The abstract's two claims. None where a figure that they need is lacking.

    gain: mean relative gain of the distilled score over zero-shot labeling, on the `improved` datasets that improve.
    gain_over_all: the same over all `scored` datasets. cost_ratio: dollars of zero-shot labeling to dollars of
    programs, each summed over `priced` datasets.
    """

    gain: float | None
    improved: int
    gain_over_all: float | None
    scored: int
    cost_ratio: float | None
    priced: int


def claims(scores: Mapping[str, tuple[float, float]], dollars: Mapping[str, tuple[float, float]]) -> Claims:
    """The claims recomputed. Both are dataset -> (zero-shot labeling, programs)."""
    gains = [programs / zero_shot - 1 for zero_shot, programs in scores.values() if zero_shot]
    better = [gain for gain in gains if gain > 0]
    spent = sum(programs for _, programs in dollars.values())
    return Claims(
        gain=sum(better) / len(better) if better else None,
        improved=len(better),
        gain_over_all=sum(gains) / len(gains) if gains else None,
        scored=len(gains),
        cost_ratio=sum(zero_shot for zero_shot, _ in dollars.values()) / spent if spent else None,
        priced=len(dollars),
    )


def claimed() -> tuple[float, float]:
    """What the abstract says: the gain as a share, and the cost ratio."""
    return float(_printed()["claims"]["gain"]), float(_printed()["claims"]["cost_ratio"])
