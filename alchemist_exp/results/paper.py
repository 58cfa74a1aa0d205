"""The paper's numbers, as printed, and the claims of its abstract."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = {
    "wrench": "paper",
    "no_llm": "paper",
    "gpt-3.5": "GPT-3.5",
    "gpt-4": "GPT-4",
    "gpt-4o": "GPT-4o",
    "claude-3": "Claude 3",
}
"""The model that wrote the programs behind the paper's numbers, and its heading; GPT-3.5 is the paper's base.

Human-crafted functions (wrench) and labels by CLIP alone (no_llm) have no such model.
"""

DATASETS = ("youtube", "sms", "yelp", "imdb", "medabs", "cancer", "finance", "french")
"""The paper's text datasets, in the order of its tables."""


@cache
def _printed() -> Mapping[str, Any]:
    printed: Mapping[str, Any] = json.loads(Path(__file__).with_name("paper.json").read_text(encoding="utf-8"))
    return printed


def citation() -> str:
    """Return the paper's authors, title and year."""
    return str(_printed()["citation"])


def claims() -> tuple[float, float]:
    """Return the abstract's relative gain over zero-shot labeling, as a share, and its ratio of costs."""
    return float(_printed()["claims"]["gain"]), float(_printed()["claims"]["cost_ratio"])


def train_rows(dataset: str) -> int:
    """Return how many training rows the paper had of a dataset (Table 5).

    Args:
        dataset: One of `DATASETS`.

    Returns:
        Rows.

    """
    return int(_printed()["train_rows"][dataset])


def numbers(table: str) -> dict[tuple[str, str, str, str], float]:
    """Return the numbers that the paper prints in a table.

    Args:
        table: A key of `paper_tables.TABLES`.

    Returns:
        (item, source, measure, dataset) -> number; empty for figure 5, which prints no numbers.

    """
    return {
        (item, source, measure, dataset): float(number)
        for item, sources in _printed()["tables"].get(table, {}).items()
        for source, measures in sources.items()
        for measure, datasets in measures.items()
        for dataset, number in datasets.items()
    }


def score_of(dataset: str) -> str:
    """Return the score that the paper reports on a dataset.

    Args:
        dataset: One of `DATASETS`.

    Returns:
        "f1" (of spam) for sms, else "accuracy".

    """
    return "f1" if dataset == "sms" else "accuracy"
