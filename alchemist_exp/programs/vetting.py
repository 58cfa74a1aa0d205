"""The funnel a program passes before it may vote: its source, a few probes, then its votes on train.

What a stage costs grows from one to the next, and each sees only what the one before let through. Every rejection has
its stage and its reason. Basic vetting sorts out what cannot work or says nothing; strict vetting also what says
little, or what another program says already.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import texts_fingerprint
from alchemist_exp.core.progress import StageProgress
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN, IntArray, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.programs.execution import failure_of_run, failure_of_votes, votes_of
from alchemist_exp.programs.static_checks import CheckFailure, check_source, text_key
from alchemist_exp.programs.types import Candidate, Program, Rejected, RejectionStage, VettingResult, reject
from alchemist_exp.sandbox.base import Outcome, ProgramRun, Sandbox

FEWEST_VOTES: Final = 10
"""Votes on labeled rows before a program can be said to be below chance."""

_COPY = "the same program as"
_GOOD: Final = (Outcome.VOTE, Outcome.ABSTAIN)
Votes = npt.NDArray[np.int8]


@component("vetting", "vetting")
@dataclass(kw_only=True)
class Vetting(Component):
    """A vetting group member; conf/vetting explains each value."""

    check_source: bool = MISSING
    reject_duplicates: bool = MISSING
    n_probe_rows: int = MISSING
    max_failure_rate: float = MISSING
    reject_nondeterministic: bool = MISSING
    reject_constant: bool = MISSING
    min_coverage: float = MISSING
    max_agreement: float | None = MISSING
    reject_below_chance: bool = MISSING

    def __post_init__(self) -> None:
        if self.n_probe_rows < 0:
            raise ConfigError(f"vetting.n_probe_rows is {self.n_probe_rows}; training rows, 0 or more, are needed.")
        for key in ("max_failure_rate", "min_coverage", "max_agreement"):
            share = getattr(self, key)
            if share is not None and not 0 <= share <= 1:
                raise ConfigError(f"vetting.{key} is {share}; a share of the rows, from 0 to 1, is needed.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What programs are tried on, and how. valid_gold: None where it may not be used."""

    data: TextData
    valid_gold: IntArray | None
    sandbox: Sandbox
    store: ArtifactCache
    stages: StageProgress


class Vetter:
    """Vets the candidates of one job; what it has accepted, later candidates are held against."""

    def __init__(self, vetting: Vetting, ground: Ground) -> None:
        self._vetting = vetting
        self._ground = ground
        self._texts: dict[str, str] = {}
        self._columns: list[tuple[str, Votes]] = []
        self.used_gold = False

    def vet(self, candidates: Sequence[Candidate]) -> VettingResult:
        """Sorts `candidates` into accepted and rejected; what was rejected before stays so."""
        programs = [candidate for candidate in candidates if isinstance(candidate, Program)]
        faults: dict[int, CheckFailure] = {}
        for stage in (self._by_source, self._by_probes, self._by_votes):
            faults |= stage(programs) if programs else {}
            programs = [program for program in programs if id(program) not in faults]
        for program in candidates:
            if (
                isinstance(program, Program)
                and (found := faults.get(id(program)))
                and found.stage is not RejectionStage.COPY
            ):
                # An LLM that sends it once more should hear what is wrong with it.
                self._texts[text_key(program.source)] = (
                    f"{_COPY} {program.origin}, which was rejected: {sanitize(found.reason)}"
                )
        rejected: list[Rejected] = []
        for candidate in candidates:
            if isinstance(candidate, Rejected):
                rejected.append(candidate)
            elif found := faults.get(id(candidate)):
                rejected.append(reject(candidate, found.stage, sanitize(found.reason)))
        return VettingResult(accepted=tuple(programs), rejected=tuple(rejected))

    def _by_source(self, programs: Sequence[Program]) -> dict[int, CheckFailure]:
        sandbox, faults = self._ground.sandbox, dict[int, CheckFailure]()
        for program in programs:
            found = None
            if self._vetting.check_source:
                found = check_source(
                    program.source, max_source_bytes=sandbox.max_source_bytes, importable=sandbox.importable
                )
            if found is None and self._vetting.reject_duplicates:
                text = text_key(program.source)
                found = CheckFailure(RejectionStage.COPY, self._texts[text]) if text in self._texts else None
                self._texts.setdefault(text, f"{_COPY} {program.origin}")
            if found:
                faults[id(program)] = found
        return faults

    def _by_probes(self, programs: Sequence[Program]) -> dict[int, CheckFailure]:
        texts = self._ground.data.texts(Split.TRAIN)
        if not self._vetting.n_probe_rows:
            return {}
        spaced = np.linspace(0, len(texts) - 1, min(self._vetting.n_probe_rows, len(texts))).astype(int)
        probes = [texts[row] for row in spaced]
        runs = self._runs(programs, probes, texts_fingerprint(probes), f"trying {len(programs)} programs")
        found = {id(p): self._fault_of_probes(run) for p, run in zip(programs, runs, strict=True)}
        return {key: check_source for key, check_source in found.items() if check_source}

    def _by_votes(self, programs: Sequence[Program]) -> dict[int, CheckFailure]:
        data, gold = self._ground.data, None
        runs = self._runs_on(Split.TRAIN, programs)
        valid: Sequence[ProgramRun | None] = [None] * len(programs)
        if self._vetting.reject_below_chance and (gold := self._ground.valid_gold) is not None:
            self.used_gold = True
            valid = self._runs_on(Split.VALID, programs)
        faults = {}
        for program, run, on_valid in zip(programs, runs, valid, strict=True):
            found = failure_of_run(run, Split.TRAIN) or failure_of_votes(run) or self._fault_of_train(run)
            if found is None and gold is not None and on_valid is not None:
                found = below_chance(on_valid.votes, gold, len(data.task.classes))
            if found is None:
                self._columns.append((program.origin, run.votes))
            else:
                faults[id(program)] = found
        return faults

    def _fault_of_probes(self, run: ProgramRun) -> CheckFailure | None:
        if found := failure_of_run(run, "probes"):
            return found
        if self._vetting.reject_nondeterministic and run.nondeterministic:
            return CheckFailure(RejectionStage.NONDETERMINISTIC, "the votes change with the order of the rows")
        bad = {o: n for o, n in run.outcomes.items() if n and o not in _GOOD}
        share = sum(bad.values()) / max(1, len(run.votes))
        if share <= self._vetting.max_failure_rate:
            return None
        counts = ", ".join(f"{n} {o.replace('_', ' ')}" for o, n in bad.items())
        first = next(iter(run.messages.values()), "")
        return CheckFailure(
            RejectionStage.FAULTS, f"{counts} on {len(run.votes)} probes{f'; {first}' if first else ''}"
        )

    def _fault_of_train(self, run: ProgramRun) -> CheckFailure | None:
        if self._vetting.reject_constant and (run.votes == run.votes[0]).all():
            return CheckFailure(RejectionStage.CONSTANT, f"the vote is {run.votes[0]} on every training row")
        coverage = float((run.votes != ABSTAIN).mean())
        if coverage < self._vetting.min_coverage:
            return CheckFailure(
                RejectionStage.COVERAGE, f"votes on {coverage:.2%} of train; {self._vetting.min_coverage:.2%} is needed"
            )
        if self._vetting.max_agreement is not None:
            for origin, votes in self._columns:
                if (share := agreement(run.votes, votes)) > self._vetting.max_agreement:
                    return CheckFailure(
                        RejectionStage.SAME_VOTES, f"votes as {origin} does on {share:.1%} of the rows either votes on"
                    )
        return None

    def _runs_on(self, split: Split, programs: Sequence[Program]) -> list[ProgramRun]:
        data = self._ground.data
        what = f"running {len(programs)} programs on {split}"
        return self._runs(programs, data.texts(split), data.texts_key(split), what, stage="votes")

    def _runs(
        self, programs: Sequence[Program], texts: Sequence[str], key: str, what: str, stage: str = "programs"
    ) -> list[ProgramRun]:
        ground = self._ground
        report: Callable[[int], None]
        with ground.stages.stage(stage, what, len(texts) * len(programs)) as report:
            n_classes = len(ground.data.task.classes)
            return votes_of(programs, texts, key, n_classes, ground.sandbox, ground.store, report)


def agreement(one: Votes, other: Votes) -> float:
    """Share of equal votes among the rows that either votes on: rows that both pass over say nothing. (n,) each."""
    either = (one != ABSTAIN) | (other != ABSTAIN)
    return float((one == other)[either].mean()) if either.any() else 1.0


def below_chance(votes: Votes, gold: IntArray, n_classes: int) -> CheckFailure | None:
    """Whether `votes` (n,) are right less often than the same votes, dealt out by chance, would be.

    Chance is what the classes' shares give: a program that votes for one class only is held to that class's share.
    """
    voted = votes != ABSTAIN
    if voted.sum() < FEWEST_VOTES:
        return None
    accuracy = float((votes[voted] == gold[voted]).mean())
    of_votes = np.bincount(votes[voted], minlength=n_classes) / voted.sum()
    of_gold = np.bincount(gold, minlength=n_classes) / len(gold)
    chance = float(of_votes @ of_gold)
    if accuracy >= chance:
        return None
    return CheckFailure(
        RejectionStage.BELOW_CHANCE, f"right on {accuracy:.1%} of {voted.sum()} valid rows; chance gives {chance:.1%}"
    )
