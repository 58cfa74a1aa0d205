"""Chooses a label model: by gold labels of valid where they may be used, else by the votes of programs left out."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import component, naming_plugin
from alchemist_exp.core.errors import ConfigError, ProgramsError, StoreError, unknown_name
from alchemist_exp.core.f1 import f1_by_class
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel
from alchemist_exp.label_models.fit import predict_labels
from alchemist_exp.label_models.held_out_votes import held_out_vote_gain, most_left_out
from alchemist_exp.label_models.labeled_votes import log_loss, out_of_fold_labels
from alchemist_exp.label_models.posterior import AdditivePosterior

METRICS: Final = ("accuracy", "f1", "macro_f1")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which label model was chosen, and why.

    Attributes:
        chosen: The name of the chosen candidate.
        by: What the scores are, for people.
        scores: The score of each candidate that could be chosen, in their order; higher is better.
        left_out: Why each other candidate could not be chosen.

    """

    chosen: str
    by: str
    scores: dict[str, float]
    left_out: dict[str, str]

    def __str__(self) -> str:
        """Return the choice and its reasons in one sentence."""
        scores = ", ".join(f"{name} {score:.3f}" for name, score in self.scores.items())
        left_out = "; ".join(f"{name} {reason}" for name, reason in self.left_out.items())
        return f"label_model=auto chose {self.chosen} by {self.by}: {scores}{left_out and f'; left out: {left_out}'}."


@component("label_model", "auto")
@dataclass(kw_only=True)
class Auto(LabelModel):
    """Fits several label models and chooses the one with the best score; of equal ones the first.

    With labeled votes the score is the dataset's metric on valid, over covered rows, and of equal scores the one with
    the smaller log loss is better; models that use gold labels are scored on out-of-fold labels. Without labeled votes
    it is `held_out_vote_gain`.

    Attributes:
        candidates: The names of the models that may be chosen, from `models`.
        models: Label models by name.
        metric: The dataset's metric, accuracy, f1 or macro_f1.
        positive_class: The class whose F1 is the metric f1.
        classes: The class names; empty if the dataset infers them.

    Example:
        >>> from alchemist_exp import load_component
        >>> votes = np.array([[0, 1, 1], [1, 0, 0]] * 20, dtype=np.int8)
        >>> matrix, gold = LabelMatrix(votes=votes, n_classes=2), np.array([0, 1] * 20)
        >>> models = {name: load_component(f"label_model={name}") for name in ("majority", "accuracy_weighted")}
        >>> model = Auto(candidates=[*models], models=models, metric="accuracy", positive_class=None, classes=[])
        >>> print(model.fit(matrix, np.array([0.5, 0.5]), LabeledVotes(matrix=matrix, gold=gold)).choice)
        label_model=auto chose accuracy_weighted by accuracy on valid: majority 0.000, accuracy_weighted 1.000.

    """

    uses_gold: ClassVar[bool] = True
    candidates: list[str] = MISSING
    models: dict[str, LabelModel] = MISSING
    metric: str = MISSING
    positive_class: str | None = MISSING
    classes: list[str] = MISSING

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range; leave out the models that are no candidates."""
        if not self.candidates or len(set(self.candidates)) < len(self.candidates):
            raise ConfigError(
                f"label_model.candidates is {[*self.candidates]}; expected different names of label_model.models: "
                f"{', '.join(self.models)}."
            )
        if unknown := next((name for name in self.candidates if name not in self.models), None):
            raise ConfigError(unknown_name("the label model in label_model.candidates,", unknown, self.models))
        if self.metric not in METRICS:
            raise ConfigError(unknown_name("label_model.metric", self.metric, METRICS))
        self.models = {name: self.models[name] for name in self.candidates}

    def check(self) -> None:
        """Check that the score can be computed.

        Raises:
            ConfigError: The metric is F1 and the index of the positive class is not known.

        """
        if self.metric == "f1" and self.positive_class not in self.classes:
            raise ConfigError(
                f"label_model={self.name} needs the index of dataset.positive_class={self.positive_class}; name the "
                "classes in dataset.classes, as in 'dataset.classes=[ham,spam]'."
            )

    @property
    def chosen(self) -> LabelModel:
        """The fitted model that was chosen."""
        return self.models[self.candidates[int(self.choice_[0])]]

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Fit each candidate and choose one.

        Args:
            matrix: Votes of shape (n_rows, n_programs).
            class_balance: float64 array of shape (n_classes,).
            labeled: Votes on valid with its gold labels; None to choose without gold labels.

        Returns:
            The model itself; `chosen` is the fitted candidate, `choice` says why.

        Raises:
            ProgramsError: No candidate can be fitted.

        """
        if labeled is not None and not labeled.matrix.covered.any():
            labeled = None
        by = "gain of log-likelihood of left-out programs' votes"
        if labeled is not None:
            of_metric = {"accuracy": "accuracy", "f1": f"F1 of {self.positive_class}", "macro_f1": "macro F1"}
            by = f"{of_metric[self.metric]} on valid"
        scores, log_losses, left_out = dict[str, float](), dict[str, float](), dict[str, str]()
        models = dict(self.models)
        for name, model in self.models.items():
            if reason := self._reason_to_leave_out(model, matrix, labeled):
                left_out[name] = reason
                continue
            with naming_plugin(model, "fit"):
                models[name] = copy(model).fit(matrix, class_balance, labeled if model.uses_gold else None)
                convergence = models[name].convergence
                if convergence is not None and not convergence.converged:
                    left_out[name] = f"has {convergence}"
                elif labeled is None:
                    scores[name] = held_out_vote_gain(model, matrix, class_balance)
                else:
                    # A model that learned from valid is scored on parts of valid that its fit has not seen.
                    on_valid = (
                        out_of_fold_labels(model, matrix, class_balance, labeled)
                        if model.uses_gold
                        else predict_labels(models[name], labeled.matrix)
                    )
                    scores[name] = self._score(on_valid, labeled)
                    log_losses[name] = log_loss(on_valid, labeled.gold)
        if not scores:
            reasons = "; ".join(f"{name} {reason}" for name, reason in left_out.items())
            raise ProgramsError(
                f"label_model={self.name} can choose none of label_model.candidates ({reasons}); add majority to them."
            )
        # Few labeled rows give equal scores often; the log loss then decides, and after it the order of the candidates.
        best = max(scores, key=lambda name: (scores[name], -log_losses.get(name, 0.0)))
        self.models = models
        self.choice_ = np.array([self.candidates.index(best)], np.float64)
        self.choice = Choice(chosen=best, by=by, scores=scores, left_out=left_out)
        return self

    def _reason_to_leave_out(self, model: LabelModel, matrix: LabelMatrix, labeled: LabeledVotes | None) -> str:
        """Return why a candidate cannot be chosen; "" if it can."""
        if model.uses_gold and labeled is None:
            return "needs gold labels of valid"
        n_programs = matrix.votes.shape[1]
        # Without gold labels, candidates are scored by fits that leave out some of the programs.
        needed = model.min_programs + (0 if labeled is not None else most_left_out(n_programs))
        if n_programs < needed and model.min_programs > 1:
            return f"needs {needed} programs"
        return ""

    def _score(self, labels: SoftLabels, labeled: LabeledVotes) -> float:
        """Return the dataset's metric of labels of the rows of valid, over the rows with a vote."""
        covered = labeled.matrix.covered
        hard, gold = labels.hard()[covered], labeled.gold[covered]
        if self.metric == "accuracy":
            return float((hard == gold).mean())
        n_classes = labels.probs.shape[1]
        f1 = f1_by_class(gold, hard, n_classes)
        if self.metric == "macro_f1":
            return float(np.nanmean(f1))
        return float(np.nan_to_num(f1[self.classes.index(str(self.positive_class))]))

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the soft labels of the chosen model; see `LabelModel.predict_proba`."""
        return self.chosen.predict_proba(matrix)

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the posterior of the chosen model; see `LabelModel.posterior`."""
        return self.chosen.posterior(n_programs, n_classes)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of the number of the chosen candidate; `save` adds what that model has learned."""
        return {"choice_": (1,)}

    def unsaved_attributes(self) -> list[str]:
        """Return no attribute that labels depend on: the reasons of the choice are in the record only."""
        return [name for name in super().unsaved_attributes() if name != "choice"]

    def save(self, directory: Path) -> None:
        """Write the number of the chosen candidate, and what it has learned; see `LabelModel.save`."""
        super().save(directory)
        self.chosen.save(directory)

    def load(self, directory: Path, *, n_programs: int, n_classes: int) -> Self:
        """Restore what `save` wrote; see `LabelModel.load`."""
        super().load(directory, n_programs=n_programs, n_classes=n_classes)
        if self.choice_[0] not in range(len(self.candidates)):
            raise StoreError(
                f"{directory / 'choice_.npy'} has {self.choice_[0]:g}; expected a number from 0 to "
                f"{len(self.candidates) - 1}, of label_model.candidates; run the experiment again."
            )
        self.chosen.load(directory, n_programs=n_programs, n_classes=n_classes)
        return self
