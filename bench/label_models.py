"""Our majority vote against Snorkel's voter, on the same votes; both must give the same labels."""

from collections.abc import Iterator

import numpy as np
from snorkel.labeling.model import MajorityLabelVoter

from alchemist_exp.core.values import LabelMatrix
from alchemist_exp.label_models.majority import Majority
from bench.timing import best_of

ROWS, PROGRAMS = 100_000, 10


def compare() -> Iterator[tuple[str, float, str, float]]:
    """One comparison on 100,000 rows and ten programs."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, size=(ROWS, 1))
    votes = np.where(rng.random((ROWS, PROGRAMS)) < 0.8, truth, 1 - truth)
    votes[rng.random(votes.shape) < 0.2] = -1
    matrix = LabelMatrix(votes=votes.astype(np.int8), n_classes=2)
    ours, theirs = Majority(name="majority"), MajorityLabelVoter(cardinality=2)
    untied = matrix.counts()[:, 0] != matrix.counts()[:, 1]
    labels = ours.predict_proba(matrix).hard()
    if not np.array_equal(labels[untied], theirs.predict(votes)[untied]):
        raise AssertionError("the two majority votes differ")
    best = best_of(3, {"ours": lambda: ours.predict_proba(matrix), "peer": lambda: theirs.predict_proba(votes)})
    yield f"majority vote, {ROWS:,} rows", best["ours"], "Snorkel MajorityLabelVoter", best["peer"]
