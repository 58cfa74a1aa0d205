"""Warns when an end model's seeds differ too much for their mean to be compared."""

from collections.abc import Mapping
from typing import Any, Final

MAX_STD: Final = 0.03
"""Standard deviation of a score over seeds above which there is a warning. The standard error of a mean of five is then
.013, about the difference between label models on one dataset; normal runs have deviations of .005 to .015."""


def high_seed_variance(metrics: Mapping[str, Mapping[str, Mapping[str, Any] | None]], metric: str) -> list[str]:
    """Warn of each split on which a score varies strongly over seeds.

    Args:
        metrics: The record's end-model metrics: by split and metric, `mean`, `std` and `per_seed`.
        metric: The metric that the dataset is judged by ("accuracy", "f1", "macro_f1").

    Returns:
        One sentence per split; empty when all seeds are close.

    """
    notes = []
    for split, scores in metrics.items():
        score = scores[metric]
        if score is not None and score["std"] > MAX_STD:
            low, high = min(score["per_seed"]), max(score["per_seed"])
            notes.append(
                f"High variance over seeds: {metric} on {split} is between {low:.3f} and {high:.3f} (standard "
                f"deviation {score['std']:.3f}, over {MAX_STD}); smaller differences between runs mean little, "
                "use more seeds."
            )
    return notes
