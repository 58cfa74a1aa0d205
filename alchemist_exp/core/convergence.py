"""States how an iterative fit of a label model ended."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """How an iterative fit ended.

    Attributes:
        iterations: Number of iterations of the fit that was kept.
        converged: Whether it stopped because of its tolerance. If not, it stopped at its maximum number of iterations.

    Example:
        >>> print(Convergence(iterations=34, converged=True))
        converged after 34 iterations
        >>> print(Convergence(iterations=200, converged=False))
        not converged after 200 iterations

    """

    iterations: int
    converged: bool

    def __str__(self) -> str:
        """Return the state as part of a sentence."""
        state = "converged" if self.converged else "not converged"
        return f"{state} after {self.iterations:,} iteration{'s' * (self.iterations != 1)}"
