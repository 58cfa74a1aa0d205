"""Vetting: the checks that a program passes before it may vote.

The checks are ordered by cost: the source, then a few probe rows, then the votes on train; each sees only what the
check before it accepted. Every rejection has its stage and its reason. Basic vetting rejects what cannot work or
carries no information; strict vetting also rejects what carries little, or what another program says already.

The check against gold labels comes last, after all LLM calls. So neither a reason that rests on gold labels nor the
choice of what is repaired or asked for again can reach a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.label_sets import classes_of, members
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN, IntArray, Split
from alchemist_exp.data.reviewed import ReviewedRows
from alchemist_exp.programs.execution import failure_of_run, failure_of_votes, run_on_split, run_on_texts
from alchemist_exp.programs.static_checks import CheckFailure, check_source, text_key
from alchemist_exp.programs.types import Candidate, Program, Rejected, RejectionStage, VettingResult, Votes, reject
from alchemist_exp.sandbox.base import Outcome, ProgramRun

MIN_LABELED_VOTES: Final = 10
"""Votes on labeled rows that a program needs before it can be rejected as below chance."""

_SAME_PROGRAM = "the same program as"
_VALID_OUTCOMES: Final = (Outcome.VOTE, Outcome.ABSTAIN)


@component("vetting", "vetting")
@dataclass(kw_only=True)
class Vetting(Component):
    """The thresholds of vetting; conf/vetting/off.yaml explains each value."""

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
        """Refuse a negative number of rows and shares outside 0 to 1."""
        if self.n_probe_rows < 0:
            raise ConfigError(f"vetting.n_probe_rows is {self.n_probe_rows}; expected 0 or more rows.")
        for key in ("max_failure_rate", "min_coverage", "max_agreement"):
            share = getattr(self, key)
            if share is not None and not 0 <= share <= 1:
                raise ConfigError(f"vetting.{key} is {share}; expected a share of the rows from 0 to 1.")


class Vetter:
    """Vets the candidates of one run.

    Later candidates are compared with those accepted before. A candidate is judged once: when it is given again, the
    first decision is returned. `vet` uses no gold labels; `vet_finally` does.
    """

    def __init__(self, vetting: Vetting, context: RunContext) -> None:
        """Start without accepted programs; `vetting` has the thresholds."""
        self._vetting = vetting
        self.context = context
        self._decisions: dict[Candidate, Rejected | None] = {}
        self._first_by_text: dict[str, str] = {}
        self._accepted_votes: list[tuple[str, Votes]] = []

    def vet(self, candidates: Sequence[Candidate]) -> VettingResult:
        """Sort candidates into accepted and rejected, without gold labels.

        Args:
            candidates: Programs, and candidates that were rejected before they were programs.

        Returns:
            Both kinds in the order of `candidates`.

        Raises:
            SandboxError: The sandbox cannot run programs on this machine.

        """
        undecided = [candidate for candidate in candidates if candidate not in self._decisions]
        programs = [candidate for candidate in undecided if isinstance(candidate, Program)]
        failures: dict[Program, CheckFailure] = {}
        for check in (self._check_sources, self._check_probes, self._check_votes):
            failures |= check(programs) if programs else {}
            programs = [program for program in programs if program not in failures]
        for candidate in undecided:
            failure = failures.get(candidate) if isinstance(candidate, Program) else None
            if isinstance(candidate, Rejected):
                self._decisions[candidate] = candidate
            elif failure is None:
                self._decisions[candidate] = None
            else:
                reason = sanitize(failure.reason)
                self._decisions[candidate] = reject(candidate, failure.stage, reason)
                if failure.stage is not RejectionStage.DUPLICATE:
                    # An LLM that sends the same program again is sent the reason of the first rejection.
                    rejected_before = f"{_SAME_PROGRAM} {candidate.origin}, which was rejected: {reason}"
                    self._first_by_text[text_key(candidate.source)] = rejected_before
        decisions = [(candidate, self._decisions[candidate]) for candidate in candidates]
        return VettingResult(
            accepted=tuple(c for c, rejected in decisions if rejected is None and isinstance(c, Program)),
            rejected=tuple(rejected for _, rejected in decisions if rejected is not None),
        )

    def vet_finally(self, candidates: Sequence[Candidate]) -> VettingResult:
        """Sort candidates into accepted and rejected, with gold labels of valid where they may be used.

        Args:
            candidates: As for `vet`. No LLM call may depend on the result.

        Returns:
            The result of `vet`, in which programs below chance are rejected, too.

        Raises:
            SandboxError: The sandbox cannot run programs on this machine.

        """
        accepted, context = self.vet(candidates).accepted, self.context
        usable = context.gold.available(Split.VALID) or context.gold.reviewed is not None
        if accepted and self._vetting.reject_below_chance and usable:
            what = f"running {len(accepted)} programs on"
            on_train = run_on_split(context, accepted, Split.TRAIN, f"{what} {Split.TRAIN}")  # again, from the cache
            on_valid: Sequence[ProgramRun | None] = [None] * len(accepted)
            if (gold := context.gold.use(Split.VALID, "vetting")) is not None:
                on_valid = run_on_split(context, accepted, Split.VALID, f"{what} {Split.VALID}")
            reviewed = context.gold.use_reviewed("vetting")
            for program, train, valid in zip(accepted, on_train, on_valid, strict=True):
                if failure := _failure_of_gold(train, valid, gold, reviewed, context.n_classes):
                    self._decisions[program] = reject(program, failure.stage, failure.reason)
        return self.vet(candidates)

    def _check_sources(self, programs: Sequence[Program]) -> dict[Program, CheckFailure]:
        sandbox, failures = self.context.sandbox, dict[Program, CheckFailure]()
        importable = (*sandbox.importable, *self.context.data.kind.modules)
        for program in programs:
            failure = None
            if self._vetting.check_source:
                failure = check_source(program.source, max_source_bytes=sandbox.max_source_bytes, importable=importable)
            if failure is None and self._vetting.reject_duplicates:
                text = text_key(program.source)
                if text in self._first_by_text:
                    failure = CheckFailure(RejectionStage.DUPLICATE, self._first_by_text[text])
                self._first_by_text.setdefault(text, f"{_SAME_PROGRAM} {program.origin}")
            if failure:
                failures[program] = failure
        return failures

    def _check_probes(self, programs: Sequence[Program]) -> dict[Program, CheckFailure]:
        texts, kind = self.context.data.texts(Split.TRAIN), self.context.data.kind
        if not self._vetting.n_probe_rows:
            return {}
        spaced = np.linspace(0, len(texts) - 1, min(self._vetting.n_probe_rows, len(texts))).astype(int)
        probes = [texts[row] for row in spaced]
        what = f"trying {len(programs)} programs"
        runs = run_on_texts(self.context, programs, probes, kind.fingerprint(probes), what, stage="programs")
        failures = {program: self._failure_of_probes(run) for program, run in zip(programs, runs, strict=True)}
        return {program: failure for program, failure in failures.items() if failure}

    def _check_votes(self, programs: Sequence[Program]) -> dict[Program, CheckFailure]:
        what = f"running {len(programs)} programs on {Split.TRAIN}"
        failures = {}
        for program, run in zip(programs, run_on_split(self.context, programs, Split.TRAIN, what), strict=True):
            if failure := failure_of_run(run, Split.TRAIN) or failure_of_votes(run) or self._failure_of_train(run):
                failures[program] = failure
            else:
                self._accepted_votes.append((program.origin, run.votes))
        return failures

    def _failure_of_probes(self, run: ProgramRun) -> CheckFailure | None:
        if failure := failure_of_run(run, "probes"):
            return failure
        if self._vetting.reject_nondeterministic and run.nondeterministic:
            return CheckFailure(RejectionStage.NONDETERMINISTIC, "the votes change with the order of the rows")
        bad = {outcome: n for outcome, n in run.outcomes.items() if n and outcome not in _VALID_OUTCOMES}
        if sum(bad.values()) / max(1, len(run.votes)) <= self._vetting.max_failure_rate:
            return None
        counts = ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in bad.items())
        first = next(iter(run.messages.values()), "")
        reason = f"{counts} on {len(run.votes)} probes{f'; {first}' if first else ''}"
        return CheckFailure(RejectionStage.ERRORS, reason)

    def _failure_of_train(self, run: ProgramRun) -> CheckFailure | None:
        if self._vetting.reject_constant and (run.votes == run.votes[0]).all():
            vote = list(classes_of(int(run.votes[0]))) if run.multi_label else run.votes[0]
            return CheckFailure(RejectionStage.CONSTANT, f"the vote is {vote} on every training row")
        coverage, needed = float((run.votes != ABSTAIN).mean()), self._vetting.min_coverage
        if coverage < needed:
            return CheckFailure(RejectionStage.COVERAGE, f"votes on {coverage:.2%} of train; {needed:.2%} is needed")
        if self._vetting.max_agreement is not None:
            for origin, votes in self._accepted_votes:
                if (share := agreement(run.votes, votes)) > self._vetting.max_agreement:
                    reason = f"votes as {origin} does on {share:.1%} of the rows either votes on"
                    return CheckFailure(RejectionStage.SAME_VOTES, reason)
        return None


def _failure_of_gold(
    on_train: ProgramRun,
    on_valid: ProgramRun | None,
    gold: IntArray | None,
    reviewed: ReviewedRows | None,
    n_classes: int,
) -> CheckFailure | None:
    """Return whether a program is below chance on the rows with usable gold labels: of valid, and reviewed ones."""
    votes: list[npt.NDArray[Any]] = []
    labels: list[IntArray] = []
    if on_valid is not None and gold is not None:
        votes, labels = [on_valid.votes], [gold]
    if reviewed is not None:
        votes, labels = [*votes, on_train.votes[reviewed.rows]], [*labels, reviewed.gold]
    check = below_chance_on_sets if on_train.multi_label else below_chance
    return check(np.concatenate(votes), np.concatenate(labels), n_classes) if votes else None


def agreement(one: Votes, other: Votes) -> float:
    """Return the share of equal votes among the rows that either program votes on.

    Args:
        one: int8 array of shape (n_rows,).
        other: int8 array of shape (n_rows,).

    Returns:
        A share from 0 to 1; 1 when neither votes on any row. Rows that both abstain on do not count.

    """
    either = (one != ABSTAIN) | (other != ABSTAIN)
    return float((one == other)[either].mean()) if either.any() else 1.0


def below_chance(votes: Votes, gold: IntArray, n_classes: int) -> CheckFailure | None:
    """Return whether a program is right less often than its own votes would be in random order.

    Chance follows from the class shares of votes and gold: a program that votes for one class only is compared with the
    share of that class, so a one-sided program is not rejected for being one-sided.

    Args:
        votes: int8 array of shape (n_rows,), the votes on valid.
        gold: int64 array of shape (n_rows,), the gold labels of valid.
        n_classes: The number of classes.

    Returns:
        The failure, or None when the program is at least as good as chance or has fewer than `MIN_LABELED_VOTES` votes.

    """
    voted = votes != ABSTAIN
    if voted.sum() < MIN_LABELED_VOTES:
        return None
    accuracy = float((votes[voted] == gold[voted]).mean())
    vote_shares = np.bincount(votes[voted], minlength=n_classes) / voted.sum()
    gold_shares = np.bincount(gold, minlength=n_classes) / len(gold)
    chance = float(vote_shares @ gold_shares)
    if accuracy >= chance:
        return None
    reason = f"right on {accuracy:.1%} of {voted.sum()} valid rows; chance gives {chance:.1%}"
    return CheckFailure(RejectionStage.BELOW_CHANCE, reason)


def below_chance_on_sets(votes: Votes, gold: IntArray, n_classes: int) -> CheckFailure | None:
    """Return whether a program decides on classes worse than its own votes would in random order.

    Each pair of a row and a class that the program names at all is a decision, and chance follows from the share of
    each class in votes and gold: a program for some of the classes is not rejected for the others.

    Args:
        votes: int64 array of shape (n_rows,), masks or -1 (`ABSTAIN`).
        gold: int64 array of shape (n_rows,), masks.
        n_classes: The number of classes.

    Returns:
        The failure, or None when the program is at least as good as chance or has fewer than `MIN_LABELED_VOTES` votes.

    """
    voted = votes != ABSTAIN
    if voted.sum() < MIN_LABELED_VOTES:
        return None
    named, holds = members(votes[voted], n_classes), members(gold, n_classes)
    judged = named.any(axis=0)
    if not judged.any():
        return None
    named, holds = named[:, judged], holds[:, judged]
    right = float((named == holds[voted]).mean())
    named_shares, gold_shares = named.mean(axis=0), holds.mean(axis=0)
    chance = float((named_shares * gold_shares + (1 - named_shares) * (1 - gold_shares)).mean())
    if right >= chance - 1e-9:  # equal but for rounding, as of constant votes
        return None
    reason = f"right on {right:.1%} of the classes of {voted.sum()} valid rows; chance gives {chance:.1%}"
    return CheckFailure(RejectionStage.BELOW_CHANCE, reason)
