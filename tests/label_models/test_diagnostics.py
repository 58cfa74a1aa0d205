"""Warnings of the diagnostics; normal votes and labels get none."""

import re

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.types import LabelMatrix, SoftLabels, Split
from alchemist_exp.label_models import diagnostics
from alchemist_exp.label_models.base import LabeledVotes, class_balance_from_gold
from alchemist_exp.label_models.diagnostics import check_class_order, diagnose
from alchemist_exp.pipeline.training_warnings import coverage_warnings, disagreement_warnings, one_class_warnings
from alchemist_exp.pipeline.valid_warnings import MIN_DECISIVE_ROWS, check_on_valid, shows_no_loss
from tests.support.crowd import crowd, labeled


def labels_of(hard: np.ndarray, k: int = 2) -> SoftLabels:
    return SoftLabels(probs=np.eye(k, dtype=np.float32)[hard], covered=hard >= 0)


def warnings_of(matrix: LabelMatrix, hard: np.ndarray, **kwargs: object) -> list[str]:
    """The warnings, with programs named p0, p1, ... and classes c0, c1, ..."""
    hard = np.where(matrix.covered, hard, -1)
    names, classes = [f"p{i}" for i in range(matrix.votes.shape[1])], [f"c{i}" for i in range(matrix.n_classes)]
    labels = labels_of(hard, matrix.n_classes)
    return diagnose(matrix, labels, labeled_by="model", program_names=names, class_names=classes, **kwargs)


@pytest.mark.parametrize("gold", [True, False])
@pytest.mark.parametrize("coverage", [0.3, 1.0])
@pytest.mark.parametrize("k", [2, 5])
def test_normal_votes_get_no_warning(k: int, coverage: float, gold: bool) -> None:
    matrix, truth = crowd(1500, [0.9, 0.85, 0.8, 0.75, 0.7, 0.6], [1 / k] * k, coverage, seed=k)
    gold_votes = labeled(matrix, truth, 200) if gold else None
    assert warnings_of(matrix, matrix.counts().argmax(axis=1), labeled=gold_votes) == []


def test_contradicted_votes_and_disagreement_are_reported_with_counts() -> None:
    matrix, _ = crowd(1000, [0.95] * 4, [0.5, 0.5], 1.0, seed=1)
    hard = matrix.counts().argmax(axis=1)
    unanimous = np.flatnonzero(matrix.counts().max(axis=1) == 4)
    hard[unanimous[:150]] ^= 1
    against, far = warnings_of(matrix, hard)
    assert against.startswith(f"model contradicts all voting programs on 150 of {len(unanimous)} rows ")
    assert against.endswith("use label_model=majority.")
    assert "against the majority vote; compare" in far
    assert "labels 150 of" in far


def test_the_majority_vote_is_not_compared_with_itself() -> None:
    matrix, _ = crowd(1000, [0.95] * 4, [0.5, 0.5], 1.0, seed=1)
    labels = labels_of(1 - matrix.counts().argmax(axis=1))
    assert any("majority" in warning for warning in diagnose(matrix, labels, labeled_by="snorkel"))
    assert diagnose(matrix, labels, labeled_by="majority") == []


@pytest.mark.parametrize("n_valid", [MIN_DECISIVE_ROWS - 1, MIN_DECISIVE_ROWS])
@pytest.mark.parametrize("good", [True, False])
def test_labels_that_are_good_on_valid_are_not_compared_by_agreement(good: bool, n_valid: int) -> None:
    """Two good programs against three wrong ones: labels like the former differ from the majority vote."""
    matrix, truth = crowd(1000, [0.95, 0.95, 0.3, 0.3, 0.3], [0.5, 0.5], 1.0, seed=3)
    labels = labels_of(truth if good else 1 - truth)
    valid, on_valid = labeled(matrix, truth, n_valid), labels.select(np.arange(n_valid))
    decisive = n_valid == MIN_DECISIVE_ROWS
    assert shows_no_loss(on_valid, valid) == (good and decisive)
    compared = not shows_no_loss(on_valid, valid)
    found = [w for w in diagnose(matrix, labels, labeled=valid, compare_with_majority=compared) if "Often" not in w]
    assert bool(found) == compared


def test_confidence_far_from_the_accuracy_on_valid_is_named() -> None:
    gold = np.arange(400) % 2
    votes = LabelMatrix(votes=gold[:, np.newaxis].astype(np.int8), n_classes=2)
    wrong = np.where(np.arange(400) % 4 < 2, 0, 1)  # right on half of the rows of each class
    hard = np.where(np.arange(400) % 10 < 5, gold, wrong)

    def found(confidence: float) -> list[str]:
        probs = np.where(np.eye(2)[hard] == 1, confidence, 1 - confidence)
        labels = SoftLabels(probs=probs, covered=votes.covered)
        exam = LabeledVotes(matrix=votes, gold=gold)
        warnings = check_on_valid(labels, labels, exam, labeled_by="m", class_names=["c0", "c1"])
        return [warning for warning in warnings if "confidence" in warning]

    accuracy = (hard == gold).mean()
    (warning,) = found(0.98)
    assert warning.startswith("the soft labels of m have a mean confidence of 0.98 on valid and are right on 0.7")
    assert found(float(accuracy) + 0.1) == []


@pytest.mark.parametrize(
    ("covered", "predicted", "coverage_says", "one_class_says"),
    [(0.8, 0.75, False, False), (0.6, 0.75, True, False), (1.0, 1.0, False, True), (1.0, 0.89, False, False)],
)
def test_low_coverage_and_a_distilled_model_of_one_class(covered, predicted, coverage_says, one_class_says) -> None:
    rows = np.arange(400)
    labels = SoftLabels(probs=np.eye(2)[rows % 4 // 3], covered=rows < 400 * covered)
    probs = np.eye(2)[(rows >= 400 * predicted).astype(int)][np.newaxis]
    assert bool(coverage_warnings(labels)) == coverage_says
    assert bool(one_class_warnings(labels, probs, end_model="mlp", class_names=["c0", "c1"])) == one_class_says
    rare = SoftLabels(probs=np.eye(2)[(rows % 50 == 0).astype(int)], covered=rows >= 0)
    found_rare = np.eye(2)[(rows % 70 == 0).astype(int)][np.newaxis]
    assert one_class_warnings(rare, found_rare, end_model="mlp", class_names=["c0", "c1"]) == []
    assert one_class_warnings(rare, np.empty((0, 400, 2)), end_model="none", class_names=["c0", "c1"]) == []


def test_a_disappearing_class_is_named_although_few_rows_change() -> None:
    matrix, _ = crowd(2000, [0.95] * 5, [0.95, 0.05], 1.0, seed=2)
    majority = matrix.counts().argmax(axis=1)
    hard = majority.copy()
    rare = np.flatnonzero(majority == 1)
    hard[rare[: int(0.8 * len(rare))]] = 0
    warnings = [w for w in warnings_of(matrix, hard) if "keeps" in w]
    assert len(warnings) == 1
    assert f"of the {len(rare)} rows (20%) that the majority vote labels c1" in warnings[0]


def test_the_triplet_method_on_one_sided_functions_gets_warnings(make, composed) -> None:
    data = config.build(composed("dataset=sms")).dataset.load()
    votes, gold = data.human_votes(Split.TRAIN), data.gold(Split.VALID)
    assert votes is not None
    assert gold is not None
    matrix = LabelMatrix(votes=votes, n_classes=2)
    labels = make("flyingsquid").fit(matrix, class_balance_from_gold(gold, 2)).predict_proba(matrix)
    against, far = warnings_of(matrix, labels.hard())
    assert "(13%) where two or more vote and agree" in against
    assert "rows (12%) against the majority vote" in far


def test_a_program_that_the_labels_follow_is_named() -> None:
    matrix, _ = crowd(1000, [0.9, 0.9, 0.9, 0.7], [0.5, 0.5], 1.0, seed=3)
    (warning,) = [w for w in warnings_of(matrix, matrix.votes[:, 3].astype(int)) if "single program" in w]
    assert "majority of the others: p3 (" in warning


def test_a_program_below_chance_is_named_with_or_without_gold() -> None:
    matrix, truth = crowd(1000, [0.9, 0.85, 0.8, 0.8, 0.2], [0.5, 0.5], 0.9, seed=4)
    hard = matrix.counts().argmax(axis=1)
    (by_gold,) = warnings_of(matrix, hard, labeled=labeled(matrix, truth, 300))
    assert by_gold.startswith("Often wrong, compared with the validation labels: p4 (accuracy 0.")
    (by_others,) = warnings_of(matrix, hard)
    assert by_others.startswith(
        "Often wrong, compared with the majority of the others (no gold labels): p4 (accuracy 0."
    )


def test_a_program_for_a_rare_class_is_not_below_chance() -> None:
    """Right on .4 of its votes for a class of .1: better than chance, though most votes are wrong."""
    rng = np.random.default_rng(5)
    truth = (rng.random(4000) < 0.1).astype(np.int64)
    good = np.where(rng.random((4000, 3)) < 0.95, truth[:, np.newaxis], 1 - truth[:, np.newaxis])
    finder = np.where(rng.random(4000) < np.where(truth == 1, 0.6, 0.1), 1, -1)
    matrix = LabelMatrix(votes=np.column_stack([good, finder]).astype(np.int8), n_classes=2)
    hard = matrix.votes[:, :3].sum(axis=1) >= 2
    assert warnings_of(matrix, hard.astype(int), labeled=labeled(matrix, truth, 2000)) == []
    assert warnings_of(matrix, hard.astype(int)) == []


@pytest.mark.parametrize("gold", [True, False])
def test_a_program_with_two_classes_swapped_is_named_though_its_accuracy_is_above_chance(gold: bool) -> None:
    matrix, truth = crowd(3000, [0.8] * 6, [0.15, 0.6, 0.25], 1.0, seed=7)
    votes = matrix.votes.copy()
    votes[:, 3] = np.array([2, 1, 0])[votes[:, 3]]
    matrix = LabelMatrix(votes=votes, n_classes=3)
    assert (votes[:, 3] == truth).mean() > 0.5
    warnings = warnings_of(
        matrix, matrix.counts().argmax(axis=1), labeled=labeled(matrix, truth, 400) if gold else None
    )
    (named,) = [warning for warning in warnings if warning.startswith("Often wrong")]
    assert re.search(r": p3 \(right on 0\.\d\d of its votes for c[02], median of the others 0\.\d\d\); fix", named)


def test_two_good_programs_beside_a_wrong_one_are_no_duplicates() -> None:
    matrix, truth = crowd(1000, [0.99, 0.99], [0.5, 0.5], 1.0, seed=8)
    wrong = 1 - truth
    three = LabelMatrix(votes=np.column_stack([matrix.votes, wrong]).astype(np.int8), n_classes=2)
    (warning,) = warnings_of(three, three.counts().argmax(axis=1))
    assert warning.startswith("Often wrong")
    assert "p2 (" in warning


def test_wrong_programs_that_the_caller_knows_are_not_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "wrong_programs", None)
    votes = np.tile([[0, 1, 0], [1, 1, 0]], (50, 1)).astype(np.int8)
    matrix = LabelMatrix(votes=votes, n_classes=2)
    labels = SoftLabels(probs=np.eye(2)[votes[:, 0]], covered=matrix.covered)
    assert any("program 1 (why)" in warning for warning in diagnose(matrix, labels, wrong={1: "why"}))


@pytest.mark.parametrize(
    ("train", "on_valid", "n_warnings", "says"),
    [
        ([50, 50], [50, 50], 0, ""),
        ([60, 40], [50, 50], 0, ""),
        ([100, 0], [100, 0], 2, "model labels 100% of train as c0, but valid has 50%; compare"),
        ([50, 50], [49, 51], 0, ""),
    ],
)
def test_shares_of_labels_are_compared_with_valid(
    train: list[int], on_valid: list[int], n_warnings: int, says: str
) -> None:
    hard = np.repeat([0, 1], on_valid)
    votes = LabelMatrix(votes=hard[:, np.newaxis].astype(np.int8), n_classes=2)
    found = check_on_valid(
        labels_of(np.repeat([0, 1], train)),
        labels_of(hard),
        LabeledVotes(matrix=votes, gold=np.repeat([0, 1], 50)),
        labeled_by="model",
        class_names=["c0", "c1"],
    )
    assert len(found) == n_warnings
    assert says in "".join(found)


def test_labels_below_the_most_frequent_class_are_named() -> None:
    gold = np.repeat([0, 1], [80, 20])
    hard = np.where(np.arange(100) < 30, 1 - gold, gold)
    labels = labels_of(hard)
    votes = LabeledVotes(matrix=LabelMatrix(votes=hard[:, np.newaxis].astype(np.int8), n_classes=2), gold=gold)
    found, *_ = check_on_valid(labels, labels, votes, labeled_by="model", class_names=["ham", "spam"])
    assert found == (
        "model is right on 70.0% of the labeled rows of valid; the class ham alone would be right on 80.0%."
    )
    few = SoftLabels(probs=labels.probs, covered=np.arange(100) < 10)
    assert check_on_valid(labels, few, votes, labeled_by="model", class_names=["ham", "spam"]) == []


def test_the_loss_of_a_rare_class_by_weighted_majority_is_named_with_and_without_gold(make) -> None:
    rng = np.random.default_rng(5)

    def votes_of(truth: np.ndarray) -> LabelMatrix:
        columns = [np.where(rng.random(len(truth)) < accuracy, truth, 1 - truth) for accuracy in (0.85, 0.9, 0.85)]
        return LabelMatrix(votes=np.stack(columns, axis=1).astype(np.int8), n_classes=2)

    truth, truth_of_valid = ((rng.random(n) < 0.15).astype(np.int64) for n in (5000, 500))
    train, valid = votes_of(truth), LabeledVotes(matrix=votes_of(truth_of_valid), gold=truth_of_valid)
    balance, found = class_balance_from_gold(truth_of_valid, 2), {}
    for name in ("majority", "weighted_majority"):
        model = make(name).fit(train, balance)
        labels, names = model.predict_proba(train), ["ham", "spam"]
        found[name] = diagnose(train, labels, labeled_by=name, class_names=names) + check_on_valid(
            labels, model.predict_proba(valid.matrix), valid, labeled_by=name, class_names=names
        )
    assert found["majority"] == []
    kept, macro_f1 = found["weighted_majority"]
    assert "that the majority vote labels spam; compare" in kept
    assert macro_f1.startswith("weighted_majority has macro F1 0.")


def test_near_duplicates_are_named_in_pairs() -> None:
    matrix, _ = crowd(1000, [0.9, 0.85, 0.8], [0.5, 0.5], 0.9, seed=6)
    votes = matrix.votes[:, [0, 1, 2, 1]].copy()
    votes[:3, 3] = -1
    copied = LabelMatrix(votes=votes, n_classes=2)
    (warning,) = warnings_of(copied, copied.counts().argmax(axis=1))
    assert warning.startswith("Near-duplicates, with the same outcome on contested rows: p1 and p3 (")
    many = LabelMatrix(votes=matrix.votes[:, [0, 1, 2, 1, 1, 1]], n_classes=2)
    (warning,) = [w for w in warnings_of(many, many.counts().argmax(axis=1)) if "Near-duplicates" in w]
    assert "p1 and p3 (100%), p1 and p4 (100%), p1 and p5 (100%) and 3 more" in warning


@pytest.mark.parametrize(
    "votes",
    [np.empty((0, 3)), np.full((40, 3), -1), np.arange(40)[:, np.newaxis] % 2, np.eye(3) * 2 - 1, np.ones((10, 3))],
    ids=["no rows", "all abstain", "one program", "no two on one row", "few rows of one class"],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_too_few_votes_give_no_warning(votes: np.ndarray) -> None:
    matrix = LabelMatrix(votes=votes.astype(np.int8), n_classes=2)
    gold_votes = labeled(matrix, np.arange(len(votes)) % 2)
    assert warnings_of(matrix, matrix.counts().argmax(axis=1)) == []
    assert warnings_of(matrix, matrix.counts().argmax(axis=1), labeled=gold_votes) == []


def test_constant_votes_are_reported() -> None:
    votes = np.tile(np.arange(100, dtype=np.int8)[:, np.newaxis] % 2, (1, 3))
    (constant,) = warnings_of(LabelMatrix(votes=votes, n_classes=2), votes[:, 0].astype(int))
    assert constant.startswith("All programs vote the same on every row")
    same, one = warnings_of(LabelMatrix(votes=votes * 0 + 1, n_classes=2), np.ones(100, dtype=int))
    assert same == constant
    assert one == "Every label is c1; check the labels before you train on them."


def test_names_are_optional() -> None:
    votes = np.ones((100, 2), dtype=np.int8)
    same, one = diagnose(LabelMatrix(votes=votes, n_classes=2), labels_of(np.ones(100, dtype=int)))
    assert same.startswith("All programs vote the same")
    assert one.startswith("Every label is class 1")


@pytest.mark.parametrize(
    ("rows", "names", "message"),
    [(9, None, r"labels: \(9, 2\) does not match votes \(100, 2\)"), (100, ["p"], "program_names: 1 does not match")],
)
def test_arguments_that_do_not_match_are_refused(rows: int, names: list[str] | None, message: str) -> None:
    matrix = LabelMatrix(votes=np.ones((100, 2), dtype=np.int8), n_classes=2)
    with pytest.raises(ValueError, match=message):
        diagnose(matrix, labels_of(np.ones(rows, dtype=int)), program_names=names)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (0, 2, 1)])
def test_classes_in_another_order_are_named(order: tuple[int, ...]) -> None:
    names = ["access", "billing", "technical"]
    matrix, gold = crowd(60, [0.9, 0.9, 0.85], [0.5, 0.3, 0.2], 0.8, seed=1)
    moved = np.where(matrix.covered[:, None] & (matrix.votes >= 0), np.argsort(order)[matrix.votes], -1)
    votes = LabelMatrix(votes=moved.astype(np.int8), n_classes=3)
    hard = np.where(votes.covered, votes.counts().argmax(axis=1), -1)
    found = check_class_order(votes, hard, gold, labeled_by="model", split="valid", class_names=names)
    if order == (0, 1, 2):
        assert found == []
        return
    (warning,) = found
    assert "are the class indices in the order 0 = access, 1 = billing, 2 = technical? The programs" in warning
    assert ", ".join(f"{i} = {names[o]}" for i, o in enumerate(order)) in warning


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_votes_of_weak_programs_suggest_no_order(share: float) -> None:
    """A rare class that programs find with many false alarms is not another order."""
    gold = (np.arange(200) % 8 == 0).astype(np.int64)
    votes = np.where(np.arange(200) % 10 < 10 * share, 1, 0)
    matrix = LabelMatrix(votes=np.where(gold == 1, 1, votes)[:, None].astype(np.int8), n_classes=2)
    hard = matrix.votes[:, 0].astype(np.int64)
    assert check_class_order(matrix, hard, gold, labeled_by="m", split="valid", class_names=["ham", "spam"]) == []


def test_labels_below_chance_without_a_fitting_order_are_named() -> None:
    gold = np.arange(60) % 3
    matrix = LabelMatrix(votes=((gold[:, None] + 1 + np.arange(60)[:, None] // 3 % 2) % 3).astype(np.int8), n_classes=3)
    hard = matrix.votes[:, 0].astype(np.int64)
    (warning,) = check_class_order(matrix, hard, gold, labeled_by="m", split="train", class_names=["a", "b", "c"])
    assert warning.startswith("the accuracy of m on train is 0.00, worse than chance (0.33): are the class indices")
    assert warning.endswith("0 = a, 1 = b, 2 = c?")


@pytest.mark.parametrize(("n_other", "says"), [(9, False), (10, True)])
def test_a_distilled_model_that_has_not_learned_its_labels(n_other: int, says: bool) -> None:
    rows = np.arange(60)
    labels = SoftLabels(probs=np.eye(2)[rows % 2], covered=rows < 40)
    probs = np.eye(2)[np.where(rows < n_other, 1 - rows % 2, rows % 2)][np.newaxis]
    probs[:, 40:] = probs[:, 40:, ::-1]  # rows without a label do not count
    found = disagreement_warnings(labels, probs, end_model="mlp", has_programs=False)
    assert [f"on {n_other} of 40 labeled rows of train (25%)" in text for text in found] == [True] * says
    assert disagreement_warnings(labels, probs[:0], end_model="none", has_programs=True) == []
