"""Which of the accepted programs vote: all of them, or m chosen from the bank (paper, Section 4.4)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix
from alchemist_exp.programs.types import Program
from alchemist_exp.programs.vetting import agreement


@dataclass(frozen=True, kw_only=True, eq=False)
class ProgramPool:
    """Accepted programs and how they vote. A column for each program in both matrices.

    gold: int64 (n,) of the rows of valid; valid and gold are None where validation labels may not be used.
    """

    programs: Sequence[Program]
    train: LabelMatrix
    valid: LabelMatrix | None
    gold: IntArray | None


@dataclass(kw_only=True)
class Selection(Component, ABC):
    """A selection group member."""

    uses_gold = False

    @abstractmethod
    def most(self, programs: int, strategies: int) -> int:
        """How many can be chosen of so many programs, alike for each of so many strategies."""

    @abstractmethod
    def choose(self, bank: ProgramPool) -> list[int]:
        """Columns of the chosen programs, ascending; all of them where the bank has no more than are wanted."""


@component("selection", "all")
@dataclass(kw_only=True)
class SelectAll(Selection):
    """Every accepted program votes."""

    def most(self, programs: int, strategies: int) -> int:
        """All."""
        return programs

    def choose(self, bank: ProgramPool) -> list[int]:
        """All columns."""
        return list(range(len(bank.programs)))


@dataclass(kw_only=True)
class SelectSome(Selection):
    """`n` programs vote."""

    n: int = MISSING

    def most(self, programs: int, strategies: int) -> int:
        """`n`."""
        return min(self.n, programs)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"selection.n is {self.n}; 1 or more programs are needed.")


@component("selection", "random")
@dataclass(kw_only=True)
class SelectRandom(SelectSome):
    """`n` programs of each strategy, drawn without replacement (paper, Figure 5)."""

    seed: int = MISSING

    def most(self, programs: int, strategies: int) -> int:
        """`n` of each strategy."""
        return min(self.n * strategies, programs)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise ConfigError(f"selection.seed is {self.seed}; 0 or more is needed.")

    def choose(self, bank: ProgramPool) -> list[int]:
        """The same columns for the same seed and the same number of programs of each strategy."""
        rng = np.random.default_rng(self.seed)
        chosen: list[int] = []
        strategies = [program.strategy for program in bank.programs]
        for strategy in dict.fromkeys(strategies):
            columns = [column for column, of in enumerate(strategies) if of == strategy]
            chosen += rng.permutation(columns)[: self.n].tolist()
        return sorted(chosen)


@component("selection", "diverse")
@dataclass(kw_only=True)
class SelectDiverse(SelectSome):
    """The program that votes most, then each time the one that agrees least with its nearest among the chosen."""

    def choose(self, bank: ProgramPool) -> list[int]:
        """Farthest-first traversal (Gonzalez, 1985) by the share of unequal votes on train."""
        votes = bank.train.votes
        chosen = [int((votes != ABSTAIN).sum(axis=0).argmax())]
        nearest = _agreements(votes, chosen[0])
        while len(chosen) < min(self.n, votes.shape[1]):
            nearest[chosen] = np.inf
            chosen.append(int(nearest.argmin()))
            nearest = np.maximum(nearest, _agreements(votes, chosen[-1]))
        return sorted(chosen)


def _agreements(votes: npt.NDArray[np.int8], column: int) -> npt.NDArray[np.float64]:
    """(m,): how far each program agrees with one of them."""
    return np.array([agreement(votes[:, column], other) for other in votes.T])


@component("selection", "marginal")
@dataclass(kw_only=True)
class SelectMarginal(SelectSome):
    """Each time the program whose votes add most to what the chosen say of the right class.

    The value of a set is the mean log-likelihood of the target class under its smoothed vote shares. The target is the
    gold of valid where it may be used, else the whole bank's majority on train.
    """

    uses_gold = True

    def choose(self, bank: ProgramPool) -> list[int]:
        """Greedy; ties go to the earlier program."""
        matrix, target = bank.valid, bank.gold
        if matrix is None or target is None:
            covered = bank.train.covered
            matrix = LabelMatrix(votes=bank.train.votes[covered], n_classes=bank.train.n_classes)
            target = matrix.counts().argmax(axis=1)
        right = (matrix.votes == target[:, np.newaxis]).astype(np.int64)
        voted = (matrix.votes != ABSTAIN).astype(np.int64)
        chosen: list[int] = []
        hits = total = np.zeros((len(target), 1), dtype=np.int64)
        while len(chosen) < min(self.n, matrix.votes.shape[1]):
            shares = (hits + right + 1 / matrix.n_classes) / (total + voted + 1)
            value = np.log(shares).mean(axis=0)
            value[chosen] = -np.inf
            best = int(value.argmax())
            chosen.append(best)
            hits, total = hits + right[:, [best]], total + voted[:, [best]]
        return sorted(chosen)
