"""Compares our majority vote, Snorkel and Dawid-Skene with the packages' on the same votes; labels must agree.

The time of a peer includes `fit` and prediction, but not the conversion of the votes to the form that it takes.
"""

import time
import warnings
from collections.abc import Iterator

import numpy as np
import pandas
from crowdkit.aggregation.classification.dawid_skene import DawidSkene as CrowdKitDawidSkene
from snorkel.labeling.model import LabelModel as SnorkelLabelModel
from snorkel.labeling.model import MajorityLabelVoter

from alchemist_exp import config
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.dawid_skene import ClassPrior, DawidSkene
from alchemist_exp.label_models.majority import Majority
from alchemist_exp.label_models.snorkel import Snorkel
from bench._experiment import build_experiment
from bench.timing import best_of

PROGRAMS = 10
VOTER_ROWS, CROWD_ROWS, MANY_ROWS = 100_000, 5_000, 1_000_000
STEPS = 20  # of EM
SNORKEL_ROWS, SNORKEL_STEPS = 5_000, 300  # of its default size; vote probabilities are then within .003 of the minimum


def _votes(rows: int, abstaining: float) -> tuple[LabelMatrix, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, size=rows)
    right = rng.random((rows, PROGRAMS)) < np.linspace(0.65, 0.9, PROGRAMS)
    votes = np.where(right, truth[:, np.newaxis], 1 - truth[:, np.newaxis])
    votes[rng.random(votes.shape) < abstaining] = -1
    return LabelMatrix(votes=votes.astype(np.int8), n_classes=2), truth


def compare() -> Iterator[tuple[str, float, str, float]]:
    """Compare the majority vote on 100,000 rows, Snorkel and twenty EM steps on 5,000, with ten programs each.

    Yields:
        What was timed, our seconds, the peer, the peer's seconds.

    """
    matrix, _ = _votes(VOTER_ROWS, 0.2)
    ours, theirs = Majority(name="majority"), MajorityLabelVoter(cardinality=2)
    wide = matrix.votes.astype(np.int64)
    untied = matrix.counts()[:, 0] != matrix.counts()[:, 1]
    labels = ours.predict_proba(matrix).hard()
    if not np.array_equal(labels[untied], theirs.predict(wide)[untied]):
        raise AssertionError("the labels of the two majority votes differ")
    best = best_of(3, {"ours": lambda: ours.predict_proba(matrix), "peer": lambda: theirs.predict_proba(wide)})
    yield f"majority vote, {VOTER_ROWS:,} rows", best["ours"], "Snorkel MajorityLabelVoter", best["peer"]
    yield _snorkel()
    yield _dawid_skene()


def _snorkel() -> tuple[str, float, str, float]:
    """Compare fits of the same loss without a pull, from one start each, until the labels agree."""
    matrix, _ = _votes(SNORKEL_ROWS, 0.2)
    wide, balance = matrix.votes.astype(np.int64), np.array([0.5, 0.5])
    model = Snorkel(name="snorkel", prior_strengths=[0.0], starts=1, max_iterations=2_000, tolerance=1e-6)

    def ours() -> np.ndarray:
        return model.fit(matrix, balance).predict_proba(matrix).probs

    def theirs() -> np.ndarray:
        peer = SnorkelLabelModel(cardinality=2, verbose=False)
        peer.fit(
            wide,
            class_balance=balance.tolist(),
            n_epochs=SNORKEL_STEPS,
            seed=0,
            progress_bar=False,
        )
        probs: np.ndarray = peer.predict_proba(wide)
        return probs

    covered = matrix.covered
    if not np.allclose(ours()[covered], theirs()[covered], atol=0.01):
        raise AssertionError("the labels of the two Snorkel fits differ")
    best = best_of(3, {"ours": ours, "peer": theirs})
    return f"Snorkel, {SNORKEL_ROWS:,} rows", best["ours"], f"Snorkel, {SNORKEL_STEPS:,} steps", best["peer"]


def _dawid_skene() -> tuple[str, float, str, float]:
    """Compare the same EM steps from the same start. No program abstains, because crowd-kit ignores abstentions."""
    matrix, _ = _votes(CROWD_ROWS, 0.0)
    rows, programs = np.indices(matrix.votes.shape)
    long = pandas.DataFrame({"task": rows.ravel(), "worker": programs.ravel(), "label": matrix.votes.ravel()})
    model = DawidSkene(
        name="dawid_skene", class_prior=ClassPrior.learned, smoothing=0.0, max_iterations=STEPS, tolerance=0.0
    )

    def ours() -> np.ndarray:
        return model.fit(matrix, np.array([0.5, 0.5])).predict_proba(matrix).probs

    def theirs() -> np.ndarray:
        with warnings.catch_warnings(action="ignore"):
            probs = CrowdKitDawidSkene(n_iter=STEPS, tol=-1.0).fit_predict_proba(long)
        labels: np.ndarray = probs.sort_index()[[0, 1]].to_numpy()
        return labels

    if not np.allclose(ours(), theirs(), atol=1e-4):
        raise AssertionError("the labels of the two Dawid-Skene models differ")
    best = best_of(3, {"ours": ours, "peer": theirs})
    return f"Dawid-Skene, {STEPS} steps, {CROWD_ROWS:,} rows", best["ours"], "crowd-kit DawidSkene", best["peer"]


def measure(_: list[int] | None) -> Iterator[str]:
    """Time `fit` and prediction of every label model except Snorkel's on a million rows.

    Yields:
        One sentence per label model.

    """
    matrix, truth = _votes(MANY_ROWS, 0.2)
    models = [build_experiment(f"label_model={name}").label_model for name in config.members("label_model")]
    for model in models:
        if model.name == "snorkel" or model.uses_gold:
            continue
        began = time.perf_counter()
        labels = model.fit(matrix, np.array([0.5, 0.5])).predict_proba(matrix)
        seconds = time.perf_counter() - began
        right = (labels.hard() == truth)[labels.covered].mean()
        yield f"{model.name}, {MANY_ROWS:,} rows, fit and labels: {seconds:.2f} s, accuracy {right:.4f}"
