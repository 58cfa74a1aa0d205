"""Every label model of the configuration has a posterior that plain Python computes, with the same labels."""

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.export import labeler_runtime
from alchemist_exp.label_models.base import LabelModel
from tests.support.crowd import crowd, labeled


@pytest.mark.parametrize("name", config.members("label_model"))
def test_plain_python_has_the_labels_of_each_label_model(name: str, make, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, truth = crowd(400, [0.9, 0.8, 0.8, 0.7, 0.6], [0.5, 0.3, 0.2], 0.6, seed=4)
    fitted = make(name).fit(matrix, np.array([0.5, 0.3, 0.2]), labeled(matrix, truth))
    posterior = fitted.posterior(5, 3)
    monkeypatch.setattr(labeler_runtime, "BIAS", tuple(posterior.bias.tolist()))
    monkeypatch.setattr(labeler_runtime, "WEIGHTS", posterior.weights.tolist())
    monkeypatch.setattr(labeler_runtime, "LINK", posterior.link.value)
    labeler_runtime._posterior.cache_clear()
    found = [labeler_runtime._posterior(tuple(row)) for row in matrix.votes.tolist()]
    labels = fitted.predict_proba(matrix)
    assert [one is not None for one in found] == labels.covered.tolist()
    for one, probs in zip(found, labels.probs, strict=True):
        if one is not None:
            assert one[0] == pytest.approx(probs.tolist(), abs=1e-6)
            assert one[1] == tuple(np.flatnonzero(probs >= probs.max() - 1e-6))


def test_a_model_without_such_a_posterior_is_one_sentence() -> None:
    class Own(LabelModel):
        def fit(self, matrix, class_balance, labeled=None):
            return self

        def predict_proba(self, matrix: LabelMatrix):
            raise NotImplementedError

    with pytest.raises(ConfigError, match="label_model=own does not define its posterior"):
        Own(name="own").posterior(3, 2)


def test_random_numbers_are_those_of_numpy() -> None:
    assert labeler_runtime._RandomNumbers().draw(1000) == np.random.default_rng(0).random(1000).tolist()
