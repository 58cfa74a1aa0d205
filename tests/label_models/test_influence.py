"""The share of labels that depends on each program."""

from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import LabeledVotes, class_balance_from_votes
from alchemist_exp.label_models.influence import program_influence
from tests.support.crowd import crowd

LABEL_MODELS = sorted(path.stem for path in (Path(config.config_dir()) / "label_model").glob("[!_]*.yaml"))


@pytest.mark.parametrize("label_model_name", LABEL_MODELS)
def test_each_label_model_says_how_many_labels_change_without_a_program(make, label_model_name: str) -> None:
    matrix, truth = crowd(600, [0.9, 0.85, 0.8, 0.7, 0.6], [0.5, 0.5], 0.4, seed=1)
    model = make(label_model_name)
    labeled = LabeledVotes(matrix=matrix, gold=truth) if model.uses_gold else None
    model.fit(matrix, class_balance_from_votes(matrix), labeled)
    influence = program_influence(model, matrix)
    labels = model.predict_proba(matrix)
    for program in range(5):
        votes = matrix.votes.copy()
        votes[:, program] = -1
        without = model.predict_proba(LabelMatrix(votes=votes, n_classes=2))
        changed = labels.covered & (
            ~without.covered
            | (without.probs.argmax(axis=1) != labels.probs.argmax(axis=1))
            | (without.tied != labels.tied)
        )
        assert np.isclose(influence[program], changed.sum() / labels.covered.sum(), atol=0.005)
    assert influence.min() > 0


def test_no_votes_have_no_influence(make) -> None:
    matrix = LabelMatrix(votes=np.full((5, 2), -1, np.int8), n_classes=2)
    model = make("majority").fit(matrix, np.array([0.5, 0.5]))
    assert program_influence(model, matrix).tolist() == [0, 0]
