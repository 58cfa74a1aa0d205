"""When a high variance over seeds is reported."""

from alchemist_exp.evaluation.metrics import SeedSummary
from alchemist_exp.evaluation.seed_variance import high_seed_variance


def summary(std: float, *per_seed: float) -> dict[str, object]:
    return vars(SeedSummary(mean=sum(per_seed) / len(per_seed), std=std, per_seed=per_seed))


def test_the_datasets_own_metric_is_checked_on_every_split() -> None:
    metrics = {
        "valid": {"accuracy": summary(0.002, 0.93, 0.934), "f1": summary(0.01, 0.65, 0.66)},
        "test": {"accuracy": summary(0.006, 0.91, 0.92), "f1": summary(0.046, 0.5, 0.61)},
    }
    assert high_seed_variance(metrics, "accuracy") == []
    (note,) = high_seed_variance(metrics, "f1")
    assert note.startswith(
        "High variance over seeds: f1 on test is between 0.500 and 0.610 (standard deviation 0.046, over 0.03)"
    )


def test_no_scores_and_a_single_seed_give_no_warning() -> None:
    assert high_seed_variance({}, "accuracy") == []
    assert high_seed_variance({"test": {"accuracy": summary(0.0, 0.9)}}, "accuracy") == []
    assert high_seed_variance({"test": {"f1": None}}, "f1") == []
