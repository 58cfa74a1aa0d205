"""Asks the LLM in rounds for further programs, each aimed at one weakness of the programs so far.

A round that does not improve the labels is reverted and is the last one. Each prompt is complete in itself, so a run
that is started again finds its responses in the cache.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from alchemist_exp.context import RunContext
from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.budget import BudgetError
from alchemist_exp.llm.dialogue import Dialogue, Result, interleave, run_dialogue
from alchemist_exp.llm.types import LLMCall
from alchemist_exp.programs.generation import ProgramWriter
from alchemist_exp.programs.repair import Repair, RowRedactor
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.programs.types import Candidate, Program
from alchemist_exp.refinement.settings import Refinement, Rounds
from alchemist_exp.refinement.types import RefinedPrograms, Round, Verdict
from alchemist_exp.refinement.weaknesses import Weakness


class RoundTrials(ProgramTrials, Protocol):
    """Trials of rounds: a run executes programs and looks at their votes, a plan assumes the outcome."""

    def prompts(self, programs: Sequence[Program]) -> Iterator[tuple[Weakness, str]]:
        """Yield the prompts for further programs.

        Args:
            programs: The programs so far.

        Yields:
            For each weakness the prompt that asks for a program, the most important one first.

        """

    def judge(self, before: Verdict | None, added: Sequence[Program]) -> Verdict:
        """Decide which programs go on.

        Args:
            before: The outcome of the round before; None for the first programs.
            added: The accepted programs of the round.

        Returns:
            The outcome of the round.

        """


def refine(
    context: RunContext,
    trials: RoundTrials,
    settings: Refinement,
    repair: Repair,
    request: str,
    first: Sequence[Candidate],
) -> RefinedPrograms:
    """Ask for further programs in rounds.

    Args:
        context: What the stages of the run share.
        trials: Trials of the run.
        settings: The configured rounds.
        repair: The configured repair.
        request: The prompt that asks for a program, without supplement.
        first: The candidates so far.

    Returns:
        All candidates and rounds. A round that the budget does not allow is not part of it.

    Raises:
        LLMError: The LLM cannot be reached, or the first round was not recorded.

    """
    if not isinstance(settings, Rounds):
        return RefinedPrograms(candidates=tuple(first))
    rounds = RoundsDialogue(context=context, trials=trials, settings=settings, repair=repair, request=request)
    try:
        return run_dialogue(rounds.dialogue(first), context.answer)
    except BudgetError as error:
        # The responses that were paid for are in the cache, so a run with a larger budget continues with this round.
        return rounds.result(str(error).rstrip("."), out_of_budget=True)
    except LLMError as error:
        if not context.llm.replays or not rounds.has_rounds:
            raise
        return rounds.result(str(error).rstrip("."))  # no further round was recorded


@dataclass(kw_only=True)
class RoundsDialogue:
    """The rounds of one run or plan.

    Attributes:
        context: What the stages of the run share.
        trials: Trials of the run or the plan.
        settings: The configured rounds.
        repair: The configured repair.
        request: The prompt that asks for a program, without supplement.

    """

    context: RunContext
    trials: RoundTrials
    settings: Rounds
    repair: Repair
    request: str
    _candidates: list[Candidate] = field(default_factory=list)
    _rounds: list[Round] = field(default_factory=list)
    _left_out: dict[str, str] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def dialogue(self, first: Sequence[Candidate]) -> Dialogue[RefinedPrograms]:
        """Ask for programs round by round.

        Args:
            first: The candidates so far.

        Returns:
            All candidates and rounds.

        """
        self._candidates += first
        accepted = self.trials.vet(first).accepted
        verdict = self.trials.judge(None, accepted)
        self._rounds.append(Round(number=0, accepted=accepted, verdict=verdict))
        for number in range(1, self.settings.rounds + 1):
            new = (one for one in self.trials.prompts(verdict.programs) if one[1] not in self._asked)
            asked = list(islice(new, self.settings.n_programs))
            if not asked:
                return self.result("nothing is weak that was not asked for before")
            self._asked.update(prompt for _, prompt in asked)
            calls: list[LLMCall] = []
            candidates = yield from _collecting(self._programs(number, [prompt for _, prompt in asked]), calls)
            accepted = self.trials.vet(candidates).accepted
            verdict = self.trials.judge(verdict, accepted)
            self._candidates += candidates
            voting = {program.source for program in verdict.programs}
            left_out = self._left_out | dict(verdict.left_out)
            self._left_out = {source: reason for source, reason in left_out.items() if source not in voting}
            self._rounds.append(
                Round(
                    number=number,
                    weaknesses=tuple(weakness for weakness, _ in asked),
                    candidates=tuple(candidates),
                    accepted=accepted,
                    calls=tuple({call.request.key: call for call in calls}.values()),
                    verdict=verdict,
                )
            )
            if verdict.reverted:
                return self.result(verdict.reverted)
        return self.result(f"refine.rounds={self.settings.rounds}")

    @property
    def has_rounds(self) -> bool:
        """Whether a round has ended."""
        return len(self._rounds) > 1

    def result(self, stopped: str, *, out_of_budget: bool = False) -> RefinedPrograms:
        """Return what the finished rounds have made.

        Args:
            stopped: Why there is no further round.
            out_of_budget: Whether that is because the budget is used up.

        Returns:
            All candidates of finished rounds, and the rounds.

        """
        return RefinedPrograms(
            candidates=tuple(self._candidates),
            left_out=dict(self._left_out),
            rounds=tuple(self._rounds),
            stopped=stopped,
            out_of_budget=out_of_budget,
        )

    def _programs(self, number: int, prompts: Sequence[str]) -> Dialogue[list[Candidate]]:
        """Ask for one program per prompt, all at the same time."""
        redactor = RowRedactor(self.context.data)
        writers = [
            ProgramWriter(
                context=self.context,
                trials=self.trials,
                redactor=redactor,
                # New drafts for the same prompt would make the costs of a round hard to limit.
                repair=replace(self.repair, max_responses=None),
                strategy=f"round {number}.{n}",
                prompt=prompt,
                n_programs=1,
            )
            for n, prompt in enumerate(prompts, start=1)
        ]
        written = yield from interleave([writer.write() for writer in writers])
        return [candidate for candidates in written for candidate in candidates]


def _collecting(dialogue: Dialogue[Result], calls: list[LLMCall]) -> Dialogue[Result]:
    """Run a dialogue, and append its LLM calls to a list."""
    try:
        batch = next(dialogue)
        while True:
            answered = yield batch
            calls.extend(answered)
            batch = dialogue.send(answered)
    except StopIteration as end:
        result: Result = end.value
        return result
