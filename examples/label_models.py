"""Fit three label models on a vote matrix and print what their diagnostics say."""

import numpy as np

import alchemist_exp

# Four programs vote on 300 rows of two classes. The last one votes at random, and the third copies the first.
rng = np.random.default_rng(0)
truth = rng.integers(0, 2, size=300)
accuracies = np.array([0.9, 0.8, 0.9, 0.5])
votes = np.where(rng.random((300, 4)) < accuracies, truth[:, np.newaxis], 1 - truth[:, np.newaxis])
votes[rng.random((300, 4)) < 0.2] = alchemist_exp.ABSTAIN
votes[:, 2] = votes[:, 0]

matrix = alchemist_exp.LabelMatrix(votes=votes, n_classes=2)
balance = alchemist_exp.class_balance_from_votes(matrix)

for name in ("majority", "snorkel", "dawid_skene"):
    model = alchemist_exp.load_component(f"label_model={name}")
    labels = model.fit(matrix, balance).predict_proba(matrix)
    accuracy = (labels.hard() == truth)[labels.covered].mean()
    print(f"{name}: accuracy {accuracy:.3f} on {labels.covered.mean():.0%} covered rows")
    for warning in alchemist_exp.diagnose(
        matrix, labels, labeled_by=name, program_names=["first", "second", "copy", "random"]
    ):
        print("  ", warning)
