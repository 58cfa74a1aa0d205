"""Says when an end model's seeds differ too much for their mean to be compared."""

from collections.abc import Mapping
from typing import Any, Final

WIDE: Final = 0.03
"""Standard deviation of a score over seeds. The mean of five is then uncertain by .013, about as much as label models
differ by on one dataset; sound runs have .005 to .015."""


def high_seed_variance(metrics: Mapping[str, Mapping[str, Mapping[str, Any]]], metric: str) -> list[str]:
    """A sentence for each split on which the seeds spread wide.

    metrics: the record's, by split and score. metric: the score that the dataset is judged by.
    """
    notes = []
    for split, scores in metrics.items():
        score = scores[metric]
        if score["std"] > WIDE:
            low, high = min(score["per_seed"]), max(score["per_seed"])
            notes.append(
                f"Seeds spread wide: {metric} on {split} from {low:.3f} to {high:.3f} (sd {score['std']:.3f}, over "
                f"{WIDE}); differences between runs of less than that mean little, more seeds narrow them."
            )
    return notes
