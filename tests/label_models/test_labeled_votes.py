"""Label models that learn from gold labels: they are refused without them, and label valid out of fold."""

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, ProgramsError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import LabeledVotes
from alchemist_exp.label_models.labeled_votes import N_FOLDS, out_of_fold_labels
from alchemist_exp.pipeline.compatibility import check_experiment

MODELS = ("accuracy_weighted", "stacked")
EVEN = np.array([0.5, 0.5])


def labeled_votes(votes: np.ndarray, gold: np.ndarray) -> LabeledVotes:
    return LabeledVotes(matrix=LabelMatrix(votes=votes.astype(np.int8), n_classes=2), gold=gold)


@pytest.mark.parametrize("name", MODELS)
def test_without_gold_the_check_fails_before_anything_is_spent(composed, name: str) -> None:
    experiment = config.build(composed(f"label_model={name}", "gold=none"))
    with pytest.raises(ConfigError, match=rf"label_model={name} .* use gold=valid, or use a label model"):
        check_experiment(experiment)
    check_experiment(config.build(composed(f"label_model={name}")))
    config.build(composed(f"label_model={name}", "gold=none", "method=zero_shot", "llm=openai"))


@pytest.mark.parametrize("name", MODELS)
def test_without_votes_on_labeled_rows_the_fit_is_refused(make, name: str) -> None:
    without_votes = labeled_votes(np.array([[-1, -1]]), np.array([0]))
    for labeled in (None, without_votes):
        with pytest.raises(ProgramsError, match=r"needs votes on labeled validation rows, but there are none; give"):
            make(name).fit(without_votes.matrix, EVEN, labeled)


def test_out_of_fold_labels_are_not_fitted_on_the_labels_of_the_row(make) -> None:
    """Random gold labels of rows with different votes: the model itself is right on most, out of fold on half."""
    rng = np.random.default_rng(0)
    labeled = labeled_votes(rng.integers(-1, 2, (200, 100)), rng.integers(0, 2, 200))
    model = make("stacked")
    held_out = out_of_fold_labels(model, labeled.matrix, EVEN, labeled)
    assert not hasattr(model, "weights_")
    assert 0.35 < (held_out.hard() == labeled.gold).mean() < 0.65
    own = model.fit(labeled.matrix, EVEN, labeled).predict_proba(labeled.matrix)
    assert (own.hard() == labeled.gold).mean() > 0.8
    again = out_of_fold_labels(model, labeled.matrix, EVEN, labeled)
    assert np.array_equal(again.probs, held_out.probs)


@pytest.mark.parametrize("n_rows", [1, 2, N_FOLDS, 23])
def test_out_of_fold_labels_of_few_rows(make, n_rows: int) -> None:
    gold = np.arange(n_rows) % 2
    votes = np.stack([gold, gold], axis=1)
    votes[0] = -1
    labels = out_of_fold_labels(make("stacked"), labeled_votes(votes, gold).matrix, EVEN, labeled_votes(votes, gold))
    assert not labels.covered[0]
    assert labels.covered[1:].all() == (n_rows != 2)  # with two rows, no other part has a vote
    assert (labels.hard() == gold)[labels.covered].all()
