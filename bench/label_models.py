"""Our majority vote and Dawid-Skene against Snorkel's voter and crowd-kit's on the same votes; labels must agree.

A peer is timed by `fit` and the answer together, from the votes in the form it takes.
"""

import time
import warnings
from collections.abc import Iterator

import numpy as np
import pandas
from crowdkit.aggregation.classification.dawid_skene import DawidSkene as CrowdKitDawidSkene
from hydra import compose, initialize_config_dir
from snorkel.labeling.model import MajorityLabelVoter

from alchemist_exp import config
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.label_models.dawid_skene import ClassPrior, DawidSkene
from alchemist_exp.label_models.majority import Majority
from bench.timing import best_of

PROGRAMS = 10
VOTER_ROWS, CROWD_ROWS, MANY_ROWS = 100_000, 5_000, 1_000_000
STEPS = 20


def _votes(rows: int, abstaining: float) -> tuple[LabelMatrix, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, size=rows)
    right = rng.random((rows, PROGRAMS)) < np.linspace(0.65, 0.9, PROGRAMS)
    votes = np.where(right, truth[:, np.newaxis], 1 - truth[:, np.newaxis])
    votes[rng.random(votes.shape) < abstaining] = -1
    return LabelMatrix(votes=votes.astype(np.int8), n_classes=2), truth


def compare() -> Iterator[tuple[str, float, str, float]]:
    """Majority vote on 100,000 rows, and twenty steps of EM on 5,000, ten programs each."""
    matrix, _ = _votes(VOTER_ROWS, 0.2)
    ours, theirs = Majority(name="majority"), MajorityLabelVoter(cardinality=2)
    wide = matrix.votes.astype(np.int64)
    untied = matrix.counts()[:, 0] != matrix.counts()[:, 1]
    labels = ours.predict_proba(matrix).hard()
    if not np.array_equal(labels[untied], theirs.predict(wide)[untied]):
        raise AssertionError("the two majority votes differ")
    best = best_of(3, {"ours": lambda: ours.predict_proba(matrix), "peer": lambda: theirs.predict_proba(wide)})
    yield f"majority vote, {VOTER_ROWS:,} rows", best["ours"], "Snorkel MajorityLabelVoter", best["peer"]
    yield _dawid_skene()


def _dawid_skene() -> tuple[str, float, str, float]:
    """The same steps from the same start; crowd-kit leaves abstentions out, so nobody abstains."""
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
            return CrowdKitDawidSkene(n_iter=STEPS, tol=-1.0).fit_predict_proba(long).sort_index()[[0, 1]].to_numpy()

    if not np.allclose(ours(), theirs(), atol=1e-4):
        raise AssertionError("the two Dawid-Skenes differ")
    best = best_of(3, {"ours": ours, "peer": theirs})
    return f"Dawid-Skene, {STEPS} steps, {CROWD_ROWS:,} rows", best["ours"], "crowd-kit DawidSkene", best["peer"]


def measure(_: list[int] | None) -> Iterator[str]:
    """Every label model but Snorkel's, fitted and asked once on a million rows."""
    matrix, truth = _votes(MANY_ROWS, 0.2)
    for model in _members():
        began = time.perf_counter()
        labels = model.fit(matrix, np.array([0.5, 0.5])).predict_proba(matrix)
        seconds = time.perf_counter() - began
        right = (labels.hard() == truth)[labels.covered].mean()
        yield f"{model.name}, {MANY_ROWS:,} rows, fit and labels: {seconds:.2f} s, accuracy {right:.4f}"


def _members() -> list[LabelModel]:
    config.register()
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        found = [
            config.build(compose("config", [f"label_model={n}"])).label_model for n in config.members("label_model")
        ]
    return [model for model in found if model.name != "snorkel" and not model.uses_gold]
