"""Selection: which of the accepted programs vote, all of them or a chosen few (paper, Section 4.4)."""

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix, Split, largest_class
from alchemist_exp.programs.execution import ExecutionResult
from alchemist_exp.programs.types import Program
from alchemist_exp.programs.vetting import agreement


@dataclass(frozen=True, kw_only=True, eq=False)
class ProgramPool:
    """The accepted programs and their votes, from which a selection chooses.

    Attributes:
        programs: The programs.
        train: Their votes on train, one column per program.
        valid: Their votes on valid; None when gold labels of valid may not be used.
        gold: int64 array of shape (n_valid_rows,); None when they may not be used.

    """

    programs: Sequence[Program]
    train: LabelMatrix
    valid: LabelMatrix | None
    gold: IntArray | None


@dataclass(kw_only=True)
class Selection(Component, ABC):
    """A way to choose the programs that vote.

    Example:
        >>> pool = ProgramPool(
        ...     programs=[Program(source="a", origin="a"), Program(source="b", origin="b")],
        ...     train=LabelMatrix(votes=np.array([[0, -1], [1, 1]], dtype=np.int8), n_classes=2),
        ...     valid=None,
        ...     gold=None,
        ... )
        >>> SelectDiverse(name="diverse", n=1).choose(pool)
        [0]

    """

    uses_gold: ClassVar[bool] = False

    @abstractmethod
    def max_selected(self, n_programs: int, n_strategies: int) -> int:
        """Return how many programs can be chosen at most.

        Args:
            n_programs: How many programs there are.
            n_strategies: By how many strategies they were written, in equal parts.

        Returns:
            The largest number of programs that `choose` can return.

        """

    @abstractmethod
    def choose(self, pool: ProgramPool) -> list[int]:
        """Choose the programs that vote.

        Args:
            pool: The accepted programs and their votes.

        Returns:
            The columns of the chosen programs, ascending; all columns when the pool has no more than are wanted.

        """


def select(
    context: RunContext, selection: Selection, executed: ExecutionResult, left_out: Container[str] = ()
) -> list[int]:
    """Choose the programs that vote.

    Args:
        context: What the stages of the run share.
        selection: The way to choose.
        executed: The programs that ran to their end, and their votes.
        left_out: The sources of programs that cannot be chosen.

    Returns:
        The columns of the chosen programs, ascending.

    """
    columns = [column for column, program in enumerate(executed.programs) if program.source not in left_out]
    matrices = {split: matrix.take_programs(columns) for split, matrix in executed.matrices.items()}
    train, labeled, gold = matrices[Split.TRAIN], None, None
    if selection.uses_gold:
        labeled, gold = context.gold.labeled_votes("selection", train, matrices.get(Split.VALID))
    programs = [executed.programs[column] for column in columns]
    pool = ProgramPool(programs=programs, train=train, valid=None if gold is None else labeled, gold=gold)
    return [columns[column] for column in selection.choose(pool)]


@component("selection", "all")
@dataclass(kw_only=True)
class SelectAll(Selection):
    """Every accepted program votes."""

    def max_selected(self, n_programs: int, n_strategies: int) -> int:
        """Return the number of all programs."""
        return n_programs

    def choose(self, pool: ProgramPool) -> list[int]:
        """Return the columns of all programs."""
        return list(range(len(pool.programs)))


@dataclass(kw_only=True)
class SelectSome(Selection):
    """`n` programs vote."""

    n: int = MISSING

    def max_selected(self, n_programs: int, n_strategies: int) -> int:
        """Return `n`, or the number of programs when that is smaller."""
        return min(self.n, n_programs)

    def __post_init__(self) -> None:
        """Refuse an `n` below 1."""
        if self.n < 1:
            raise ConfigError(f"selection.n is {self.n}; expected 1 or more programs.")


@component("selection", "random")
@dataclass(kw_only=True)
class SelectRandom(SelectSome):
    """`n` programs of each strategy, drawn without replacement (paper, Figure 5)."""

    seed: int = MISSING

    def max_selected(self, n_programs: int, n_strategies: int) -> int:
        """Return `n` for each strategy, or the number of programs when that is smaller."""
        return min(self.n * n_strategies, n_programs)

    def __post_init__(self) -> None:
        """Refuse an `n` below 1 and a negative seed."""
        super().__post_init__()
        if self.seed < 0:
            raise ConfigError(f"selection.seed is {self.seed}; expected 0 or more.")

    def choose(self, pool: ProgramPool) -> list[int]:
        """Return the same columns for the same seed and the same number of programs of each strategy."""
        rng = np.random.default_rng(self.seed)
        chosen: list[int] = []
        strategies = [program.strategy for program in pool.programs]
        for strategy in dict.fromkeys(strategies):
            columns = [column for column, of in enumerate(strategies) if of == strategy]
            chosen += rng.permutation(columns)[: self.n].tolist()
        return sorted(chosen)


@component("selection", "diverse")
@dataclass(kw_only=True)
class SelectDiverse(SelectSome):
    """The program that votes most, then each time the one that agrees least with the chosen program nearest to it."""

    def choose(self, pool: ProgramPool) -> list[int]:
        """Return a farthest-first traversal (Gonzalez, 1985) by the share of unequal votes on train."""
        votes = pool.train.votes
        chosen = [int((votes != ABSTAIN).sum(axis=0).argmax())]
        nearest = _agreements(votes, chosen[0])
        while len(chosen) < min(self.n, votes.shape[1]):
            nearest[chosen] = np.inf  # the next choice is the least agreement, so these are not chosen again
            chosen.append(int(nearest.argmin()))
            nearest = np.maximum(nearest, _agreements(votes, chosen[-1]))
        return sorted(chosen)


def _agreements(votes: npt.NDArray[np.int8], column: int) -> npt.NDArray[np.float64]:
    """The agreement of each program with the one in `column`, of shape (n_programs,)."""
    return np.array([agreement(votes[:, column], other) for other in votes.T])


@component("selection", "marginal")
@dataclass(kw_only=True)
class SelectMarginal(SelectSome):
    """Each time the program whose votes raise the likelihood of the right class most.

    The value of a set of programs is the mean log-likelihood of the target class under its smoothed vote shares. The
    target is the gold label of valid rows where it may be used, else the majority vote of all programs on train.
    """

    uses_gold: ClassVar[bool] = True

    def choose(self, pool: ProgramPool) -> list[int]:
        """Return a greedy choice; of equal programs the earlier one is taken."""
        matrix, target = pool.valid, pool.gold
        if matrix is None or target is None:
            covered = pool.train.covered
            matrix = LabelMatrix(votes=pool.train.votes[covered], n_classes=pool.train.n_classes)
            target = largest_class(matrix.counts())
        right = (matrix.votes == target[:, np.newaxis]).astype(np.int64)
        voted = (matrix.votes != ABSTAIN).astype(np.int64)
        chosen: list[int] = []
        hits = total = np.zeros((len(target), 1), dtype=np.int64)
        while len(chosen) < min(self.n, matrix.votes.shape[1]):
            # One more vote, in equal parts for all classes: a row without a right vote has no logarithm of 0.
            shares = (hits + right + 1 / matrix.n_classes) / (total + voted + 1)
            value = np.log(shares).mean(axis=0)
            value[chosen] = -np.inf
            best = int(value.argmax())
            chosen.append(best)
            hits, total = hits + right[:, [best]], total + voted[:, [best]]
        return sorted(chosen)
