"""What label_model=auto chooses, with and without gold labels, and how it says why."""

from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, ProgramsError, StoreError
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import LabelModel, class_balance_from_votes
from tests.support.crowd import crowd, labeled

EVEN = np.array([0.5, 0.5])


class Constant(LabelModel):
    """Labels each row as class 0, with a confidence that depends on its name."""

    def fit(self, matrix, class_balance, labeled=None):
        assert labeled is None
        return self

    def predict_proba(self, matrix):
        confidence = 0.6 if self.name == "unsure" else 0.9
        probs = np.tile([confidence, 1 - confidence], (len(matrix.votes), 1))
        return SoftLabels(probs=probs, covered=matrix.covered)


@pytest.fixture
def auto(make):
    """Makes label_model=auto with some of its candidates, or with `constant` and `unsure`, which name class 0 only."""

    def build(*candidates: str, **values: object) -> LabelModel:
        models = make("auto").models | {name: Constant(name=name) for name in ("constant", "unsure")}
        return make("auto", candidates=[*candidates], models=models, **values)

    return build


def test_with_gold_the_best_score_on_valid_is_chosen_and_gold_models_are_scored_out_of_fold(auto) -> None:
    """Two good programs against three that are wrong together, which only gold labels can tell."""
    matrix, truth = crowd(1000, [0.9, 0.9], [0.5, 0.5], 1.0, seed=1)
    wrong = np.tile(1 - truth[:, np.newaxis], 3)
    votes = LabelMatrix(votes=np.concatenate([matrix.votes, wrong], axis=1).astype(np.int8), n_classes=2)
    model = auto("majority", "constant", "stacked").fit(votes, EVEN, labeled(votes, truth, 300))
    assert model.choice.chosen == model.chosen.name == "stacked"
    assert [*model.choice.scores] == ["majority", "constant", "stacked"]
    assert model.choice.scores["majority"] < 0.2
    assert str(model.choice).startswith("label_model=auto chose stacked by accuracy on valid: majority 0.0")
    assert (model.predict_proba(votes).hard() == truth).mean() > 0.95
    assert not hasattr(auto("stacked").models["stacked"], "weights_")


def test_the_score_is_the_metric_of_the_dataset(auto) -> None:
    """With 90% of class 0, `constant` is right on more rows than a program that finds class 1 with false alarms."""
    truth = (np.arange(500) % 10 == 0).astype(np.int64)
    votes = np.where((truth == 1) | (np.arange(500) % 5 == 1), 1, 0)[:, np.newaxis].astype(np.int8)
    matrix = LabelMatrix(votes=votes, n_classes=2)
    exam = labeled(matrix, truth)
    by_f1 = auto("constant", "majority", metric="f1", positive_class="spam", classes=["ham", "spam"])
    assert by_f1.fit(matrix, EVEN, exam).choice.chosen == "majority"
    assert by_f1.choice.scores == {"constant": 0.0, "majority": pytest.approx(0.5)}
    assert by_f1.choice.by == "F1 of spam on valid"
    assert auto("constant", "majority", metric="accuracy").fit(matrix, EVEN, exam).choice.chosen == "constant"


def test_of_equal_scores_the_smaller_log_loss_is_better(auto) -> None:
    matrix, truth = crowd(200, [0.7], [0.5, 0.5], 1.0, seed=6)
    exam = labeled(matrix, truth)
    assert auto("constant", "unsure").fit(matrix, EVEN, exam).choice.chosen == "unsure"
    assert auto("unsure", "constant").fit(matrix, EVEN, exam).choice.chosen == "unsure"


def test_without_gold_the_votes_of_left_out_programs_decide(auto) -> None:
    matrix, truth = crowd(1500, [0.9, 0.85, 0.6, 0.6, 0.6, 0.6], [0.5, 0.5], 0.9, seed=3)
    model = auto("constant", "majority", "dawid_skene", "accuracy_weighted").fit(matrix, EVEN)
    assert model.choice.chosen == "dawid_skene"
    assert model.choice.scores["constant"] == pytest.approx(0, abs=0.01)
    assert model.choice.left_out == {"accuracy_weighted": "needs gold labels of valid"}
    majority = matrix.counts().argmax(axis=1)
    assert (model.predict_proba(matrix).hard() == truth).mean() > (majority == truth).mean()


def test_imbalanced_votes_do_not_collapse_without_gold(make) -> None:
    matrix, truth = crowd(4000, [0.85] * 10, [0.87, 0.13], 1.0, seed=1)
    labels = make("auto").fit(matrix, class_balance_from_votes(matrix)).predict_proba(matrix)
    assert (labels.hard() == truth).mean() > 0.93


@pytest.mark.parametrize(("n_programs", "left_out"), [(1, "needs 4 programs"), (3, "needs 4 programs"), (4, None)])
def test_a_model_that_cannot_be_fitted_without_the_left_out_programs_is_left_out(
    auto, n_programs: int, left_out
) -> None:
    matrix, _ = crowd(100, [0.9] * n_programs, [0.5, 0.5], 0.9, seed=4)
    choice = auto("majority", "flyingsquid").fit(matrix, EVEN).choice
    assert choice.left_out.get("flyingsquid") == left_out
    if n_programs < 4:
        assert choice.chosen == "majority"
        with pytest.raises(ProgramsError, match=r"choose none of .*flyingsquid needs 4 programs\); add majority"):
            auto("flyingsquid").fit(matrix, EVEN)


def test_a_stored_choice_that_is_no_candidate_is_refused(auto, tmp_path: Path) -> None:
    matrix, _ = crowd(50, [0.9] * 3, [0.5, 0.5], 0.9, seed=5)
    auto("majority", "dawid_skene").fit(matrix, EVEN).save(tmp_path)
    np.save(tmp_path / "choice_.npy", np.array([2.0]))
    with pytest.raises(StoreError, match=r"choice_\.npy has 2; expected a number from 0 to 1"):
        auto("majority", "dawid_skene").load(tmp_path, n_programs=3, n_classes=2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["label_model.candidates=[majority,snorkell]"], "'snorkell' is unknown; did you mean 'snorkel'"),
        (["label_model.candidates=[]"], r"label_model\.candidates is \[\]; expected different names of"),
        (["label_model.candidates=[majority,majority]"], "expected different names"),
        (["label_model.metric=auc"], r"label_model\.metric, 'auc'|label_model\.metric 'auc'"),
    ],
)
def test_wrong_candidates_are_one_sentence(composed, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(composed("label_model=auto", *overrides))


def test_f1_needs_the_class_names(composed) -> None:
    own = ["dataset=files", "dataset.path=x", "dataset.prompt=t", "dataset.metric=f1", "dataset.positive_class=spam"]
    model = config.build(composed("label_model=auto", *own)).label_model
    with pytest.raises(ConfigError, match=r"needs the index of dataset\.positive_class=spam; name the classes in"):
        model.check()
    config.build(composed("label_model=auto", "dataset=sms", "gold=none")).label_model.check()


def test_the_values_of_a_candidate_are_set_by_its_name_and_others_are_in_no_key(composed) -> None:
    model = config.build(
        composed("label_model=auto", "label_model.candidates=[snorkel]", "label_model.models.snorkel.starts=3")
    ).label_model
    assert model.models["snorkel"].starts == 3
    assert [*model.key()["models"]] == ["snorkel"]
