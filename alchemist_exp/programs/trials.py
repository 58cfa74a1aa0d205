"""What a script may have tried on the data between two questions to the LLM."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alchemist_exp.core.types import FloatArray, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.programs.types import Candidate, Program, Rejected, RejectionStage, VettingResult, reject


class Trials(Protocol):
    """A run tries; a plan assumes."""

    def vet(self, candidates: Sequence[Candidate]) -> VettingResult:
        """Which candidates are accepted, held against all that were before."""

    def uncertainty(self, programs: Sequence[Program], split: Split) -> FloatArray:
        """float32 (n,): entropy in nats of each row's label by a label model over the votes of `programs`."""

    def features(self, split: Split) -> FloatArray:
        """float32 (n, d): what the end model sees of each row."""


@dataclass(frozen=True, kw_only=True)
class AssumedTrials:
    """Nothing is run: every program is accepted, or every one rejected, which tells the most a job may ask."""

    data: TextData
    accepting: bool

    def vet(self, candidates: Sequence[Candidate]) -> VettingResult:
        """All one way; what was rejected before stays so."""
        programs = [candidate for candidate in candidates if isinstance(candidate, Program)]
        before = [candidate for candidate in candidates if isinstance(candidate, Rejected)]
        if self.accepting:
            return VettingResult(accepted=tuple(programs), rejected=tuple(before))
        return VettingResult(
            accepted=(), rejected=(*before, *(reject(p, RejectionStage.FAULTS, "assumed") for p in programs))
        )

    def uncertainty(self, programs: Sequence[Program], split: Split) -> FloatArray:
        """Alike for all rows."""
        return np.zeros(len(self.data.texts(split)), dtype=np.float32)

    def features(self, split: Split) -> FloatArray:
        """Alike for all rows."""
        return np.zeros((len(self.data.texts(split)), 1), dtype=np.float32)
