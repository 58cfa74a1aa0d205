"""Snorkel's generative label model (Ratner et al., AAAI 2019), which the paper uses, fitted until it converges.

The package supplies the loss, the prior of the vote probabilities, which is also where the fit starts, and the
posterior. Its own training makes a fixed number of gradient descent steps, which end long before the minimum: the
labels then depend on the random start and on the size of the steps. Here L-BFGS, a quasi-Newton method, minimizes the
same loss until its gradient vanishes. The fit is deterministic.

Two more problems of the package are avoided: the class balance is always given (without it the model collapses on
imbalanced votes), and uncovered rows are masked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.convergence import Convergence
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.random_state import preserve_global_random_state
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel
from alchemist_exp.label_models.posterior import AdditivePosterior, Link, with_silent_abstain
from alchemist_exp.label_models.vote_patterns import VotePatterns

_Floats = npt.NDArray[np.float64]

_MIN_PROBABILITY = 1e-4
"""Lower bound of the probability to abstain."""


@component("label_model", "snorkel")
@dataclass(kw_only=True)
class Snorkel(LabelModel):
    """Learns the vote probabilities of each program from the agreements between programs.

    The loss is minimized from several starts, with each strength of a pull towards the prior. Of these fits, the one
    under which the votes are most likely is kept, among those in which the programs are right more often than by
    chance. The loss itself does not choose well: it is lowest without a pull, and with three classes or more, solutions
    with different labels have nearly the same loss.

    Attributes:
        prior_strengths: Strengths of the pull of the vote probabilities towards their prior, in votes of a program.
        starts: Number of starts with each strength: the prior times 1 / starts, 2 / starts, ..., 1.
        max_iterations: Maximum number of iterations from each start.
        tolerance: A fit has converged when no component of the gradient of the loss is larger.

    Example:
        >>> import numpy as np
        >>> votes = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 1, 0], [-1, -1, -1]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> model = Snorkel(prior_strengths=[0.1, 1.0], starts=2, max_iterations=2000, tolerance=1e-6)
        >>> model.fit(matrix, np.array([0.5, 0.5])).predict_proba(matrix).hard().tolist()
        [0, 0, 1, 1, -1]
        >>> model.convergence.converged
        True

    """

    # The agreements of three programs identify their accuracies; the package refuses fewer.
    min_programs: ClassVar[int] = 3
    prior_strengths: list[float] = MISSING
    starts: int = MISSING
    max_iterations: int = MISSING
    tolerance: float = MISSING

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        if not self.prior_strengths or not all(0 <= strength < np.inf for strength in self.prior_strengths):
            raise ConfigError(
                f"label_model.prior_strengths is {list(self.prior_strengths)}; expected numbers of 0 or more, as in "
                "'label_model.prior_strengths=[0.1,1]'."
            )
        for key in ("starts", "max_iterations"):
            if (number := getattr(self, key)) < 1:
                raise ConfigError(f"label_model.{key} is {number}; expected 1 or more.")
        if not 0 < self.tolerance < np.inf:
            raise ConfigError(f"label_model.tolerance is {self.tolerance}; expected a number above 0.")

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Fit the vote probabilities on the covered rows.

        Args:
            matrix: Votes of shape (n_rows, n_programs).
            class_balance: float64 array of shape (n_classes,).
            labeled: Not used.

        Returns:
            The model itself, fitted.

        Raises:
            ProgramsError: There are fewer than three programs.

        """
        self.require_programs(matrix)
        # An uncovered row carries no information, and where most rows are uncovered the fit explains those: with the 73
        # human-crafted functions of sms, which cover 41%, 100 steps on all rows gave labels of train with an F1 of .44,
        # without those rows .87.
        votes = matrix.votes[matrix.covered] if matrix.covered.any() else matrix.votes
        problem = SnorkelLoss.of(LabelMatrix(votes=votes, n_classes=matrix.n_classes), class_balance)
        fits = [
            problem.minimize(start / self.starts, strength, self.max_iterations, self.tolerance)
            for strength in self.prior_strengths
            for start in range(1, self.starts + 1)
        ]
        best = max(fits, key=lambda fit: (fit.better_than_chance, fit.likelihood))
        self.vote_probs_ = best.vote_probs
        self.class_balance_: _Floats = np.array(class_balance, np.float64)
        self.convergence_ = best.convergence
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the posterior of each covered row's class given its votes.

        Args:
            matrix: Votes of shape (n_rows, n_programs).

        Returns:
            Soft labels; rows without a vote are uncovered.

        """
        covered = matrix.covered
        probs = np.zeros((len(covered), matrix.n_classes))
        if covered.any():
            # As in the package's predict_proba: the logarithms are in float32, as mu is, and to abstain says nothing.
            votes = matrix.votes[covered][:, :, np.newaxis] == np.arange(matrix.n_classes)
            log_probs = np.log(self.vote_probs_.astype(np.float32))
            joint = np.exp(votes.reshape(len(votes), -1).astype(float) @ log_probs + np.log(self.class_balance_))
            probs[covered] = joint / joint.sum(axis=1, keepdims=True)
        return SoftLabels(probs=probs.astype(np.float32), covered=covered)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the probabilities of each program's votes by class, and of the class balance."""
        return {"vote_probs_": (n_programs * n_classes, n_classes), "class_balance_": (n_classes,)}

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the logarithms that `predict_proba` adds up; see `LabelModel.posterior`."""
        log_probs = np.log(self.vote_probs_.astype(np.float32)).reshape(n_programs, n_classes, n_classes)
        return AdditivePosterior(
            bias=np.log(self.class_balance_), weights=with_silent_abstain(log_probs), link=Link.EXP
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fit:
    """One minimum of the loss.

    Attributes:
        vote_probs: Probability of each vote in each class, of shape (n_programs * n_classes, n_classes).
        likelihood: Mean log-likelihood of a row's votes (nats); to abstain is an outcome.
        better_than_chance: Whether votes are right more often than the same votes on random rows. The mirrored
            solution, in which all programs are wrong, fits the agreements of two classes as well as the true one.
        convergence: How the fit ended.

    """

    vote_probs: _Floats
    likelihood: float
    better_than_chance: bool
    convergence: Convergence


@dataclass(frozen=True, kw_only=True, eq=False)
class SnorkelLoss:
    """The loss of Snorkel's package for one label matrix, in float64 and with its gradient.

    A row of `mu` is one vote of one program: P(program votes for this class | class of the row).

    Attributes:
        package_model: The package's model, untrained.
        agreements: How often two votes occur on one row, as a share of the rows; of shape (n, n) with
            n = n_programs * n_classes.
        between_programs: Which of these are of two programs; boolean array of the same shape.
        prior: The prior of mu, of shape (n, n_classes).
        class_balance: float64 array of shape (n_classes,).
        n_votes: Number of votes of the program of each row of mu, of shape (n, 1).
        patterns: The distinct rows of votes.

    """

    package_model: Any
    agreements: _Floats
    between_programs: npt.NDArray[np.bool_]
    prior: _Floats
    class_balance: _Floats
    n_votes: _Floats
    patterns: VotePatterns

    @classmethod
    def of(cls, matrix: LabelMatrix, class_balance: ClassBalance) -> Self:
        """Count the agreements, with the package.

        Args:
            matrix: Votes of shape (n_rows, n_programs).
            class_balance: float64 array of shape (n_classes,).

        Returns:
            The loss.

        """
        from snorkel.labeling.model import LabelModel as SnorkelModel

        with preserve_global_random_state():
            model = SnorkelModel(cardinality=matrix.n_classes, verbose=False)
            model.fit(np.array(matrix.votes), class_balance=class_balance.tolist(), n_epochs=0, progress_bar=False)
        counts = np.maximum(np.count_nonzero(matrix.votes != ABSTAIN, axis=0), 1)
        return cls(
            package_model=model,
            agreements=model.O.cpu().numpy().astype(np.float64),
            between_programs=model.mask.cpu().numpy(),
            prior=model.mu_init.cpu().numpy().astype(np.float64),
            class_balance=np.array(class_balance, np.float64),
            n_votes=np.repeat(counts, matrix.n_classes)[:, np.newaxis].astype(np.float64),
            patterns=VotePatterns.of(matrix),
        )

    def value_and_gradient(self, mu: _Floats, strength: float) -> tuple[float, _Floats]:
        """Return the loss and its gradient.

        Args:
            mu: Vote probabilities of shape (n, n_classes), or flattened.
            strength: Strength of the pull towards the prior, in votes of a program: a program with more votes is pulled
                less. 0 gives the package's loss.

        Returns:
            The loss, and an array of shape (n * n_classes,).

        """
        mu = mu.reshape(self.prior.shape)
        joint = mu * self.class_balance
        residuals = (self.agreements - joint @ mu.T) * self.between_programs
        shares = joint.sum(axis=1) - np.diag(self.agreements)
        distance = mu - self.prior
        pull = strength / self.n_votes * distance
        loss = (residuals**2).sum() + (shares**2).sum() + (pull * distance).sum()
        # `joint @ mu.T` is symmetric and has mu on both sides, so its square has the factor 4.
        gradient = -4 * residuals @ joint + 2 * shares[:, np.newaxis] * self.class_balance + 2 * pull
        return float(loss), gradient.ravel()

    def minimize(self, scale: float, strength: float, max_iterations: int, tolerance: float) -> _Fit:
        """Minimize the loss from one start.

        Args:
            scale: The start is the prior times this number.
            strength: Strength of the pull towards the prior.
            max_iterations: Maximum number of iterations.
            tolerance: Largest component of the gradient at which the fit has converged.

        Returns:
            The fit.

        """
        import torch
        from scipy.optimize import minimize

        # With ftol=0, scipy also stops where the loss no longer changes in float64.
        options = {"maxiter": max_iterations, "maxfun": 100 * max_iterations, "gtol": tolerance, "ftol": 0.0}
        found = minimize(
            self.value_and_gradient, scale * self.prior.ravel(), strength, "L-BFGS-B", jac=True, options=options
        )
        # As after the package's training: clip mu, and order the classes that are equally frequent.
        model = self.package_model
        model.mu = torch.nn.Parameter(torch.from_numpy(found.x.reshape(self.prior.shape)))
        model._clamp_params()
        model._break_col_permutation_symmetry()
        vote_probs = model.mu.detach().cpu().numpy().astype(np.float64)
        n_classes = len(self.class_balance)
        joint = (vote_probs * self.class_balance).reshape(-1, n_classes, n_classes)  # P(vote, class) of each program
        correct = np.trace(joint, axis1=1, axis2=2).sum()
        by_chance = (joint.sum(axis=2) @ self.class_balance).sum()
        return _Fit(
            vote_probs=vote_probs,
            likelihood=self._likelihood(vote_probs),
            better_than_chance=bool(correct > by_chance),
            convergence=Convergence(iterations=found.nit, converged=bool(found.success)),
        )

    def _likelihood(self, mu: _Floats) -> float:
        """Return the mean log-likelihood of a row's votes (nats)."""
        n_classes = len(self.class_balance)
        of_votes = mu.reshape(-1, n_classes, n_classes)
        # The probabilities of a program's votes can sum to more than 1, because the loss does not bound them.
        abstaining = np.maximum(1 - of_votes.sum(axis=1, keepdims=True), _MIN_PROBABILITY)
        log_probs = np.log(np.concatenate([abstaining, of_votes], axis=1))
        votes, rows = self.patterns.votes, self.patterns.rows
        joint = np.log(self.class_balance) + sum(log_probs[i, votes[:, i] + 1] for i in range(votes.shape[1]))
        return float(rows @ np.logaddexp.reduce(joint, axis=1) / max(rows.sum(), 1))
