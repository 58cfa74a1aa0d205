"""Has an LLM write programs for one prompt: drafts, then repairs of rejected ones (paper, Section 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from alchemist_exp.context import RunContext
from alchemist_exp.core.hashing import key_of
from alchemist_exp.llm.cost import price_of
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch
from alchemist_exp.llm.types import FinishReason, LLMCall, Request
from alchemist_exp.programs.extract import extract_source
from alchemist_exp.programs.repair import Repair, RowRedactor
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.programs.types import Candidate, Program, Provenance, Rejected, RejectionStage

RESPONSE_TOKENS: Final = 450
"""The expected length of a program or a supplement, for plans: about the mean of the recorded ones."""


@dataclass(kw_only=True)
class ProgramWriter:
    """Has programs written for one prompt and vets them on the way.

    Attributes:
        context: What the stages of the run share.
        trials: Vets the candidates.
        redactor: Removes text of rows from the reasons that go back to the LLM.
        repair: How often rejected programs go back, and how many responses the prompt may take.
        strategy: The strategy whose supplement the prompt has.
        prompt: The prompt that asks for one program.
        n_programs: How many accepted programs are wanted.
        candidates: All candidates so far, in the order in which they were vetted.

    """

    context: RunContext
    trials: ProgramTrials
    redactor: RowRedactor
    repair: Repair
    strategy: str
    prompt: str
    n_programs: int
    candidates: list[Candidate] = field(default_factory=list)
    _accepted: list[Program] = field(default_factory=list)

    def write(self) -> Dialogue[list[Candidate]]:
        """Ask for drafts, repair rejected ones, and ask for new drafts while there is room for more responses.

        Returns:
            All candidates, accepted or not.

        """
        n_drafted = 0
        while (n_wanted := min(self.n_programs - len(self._accepted), self._n_responses_left())) > 0:
            rejected = self._vet((yield from self._drafts(range(n_drafted, n_drafted + n_wanted))))
            n_drafted += n_wanted
            for _ in range(self.repair.attempts):
                repairable = [r for r in rejected if r.program is not None][: self._n_responses_left()]
                if not repairable:
                    break
                rejected = self._vet((yield from self._repairs(repairable)))
            if self.repair.max_responses is None:
                break
        return self.candidates

    def _n_responses_left(self) -> int:
        """How many more responses may be asked for."""
        limit = self.repair.max_responses
        return self.n_programs if limit is None else limit - len(self.candidates)

    def _vet(self, candidates: Sequence[Candidate]) -> tuple[Rejected, ...]:
        self.candidates.extend(candidates)
        result = self.trials.vet(candidates)
        self._accepted.extend(result.accepted)
        return result.rejected

    def _drafts(self, samples: range) -> Dialogue[list[Candidate]]:
        llm, prompts = self.context.llm, self.context.prompts
        if not llm.prompts_for_variety:
            requests = [llm.request(prompts.program_system, self.prompt, sample=sample) for sample in samples]
            calls = yield _batch(requests, "asking for programs")
            return [self._candidate(call, sample) for sample, call in zip(samples, calls, strict=True)]
        # One after another: each request shows the programs that were written before it.
        candidates: list[Candidate] = []
        sources = [program.source for program in self._accepted]
        for sample in samples:
            text = prompts.variation_request(self.prompt, sources)
            (call,) = yield _batch([llm.request(prompts.program_system, text, sample=sample)], "asking for programs")
            candidates.append(candidate := self._candidate(call, sample))
            if isinstance(candidate, Program):
                sources.append(candidate.source)
        return candidates

    def _repairs(self, rejected: Sequence[Rejected]) -> Dialogue[list[Candidate]]:
        requests, repaired = [], []
        for rejection in rejected:
            program = rejection.program
            if program is None or program.provenance is None:
                raise ValueError(f"{rejection.origin} was not written by an LLM")
            reason = self.redactor.redact(rejection.reason)
            text = self.context.prompts.repair_request(self.prompt, program.source, reason)
            sample = program.provenance.sample
            requests.append(self.context.llm.request(self.context.prompts.program_system, text, sample=sample))
            repaired.append(program.provenance)
        calls = yield _batch(requests, "asking for repairs")
        return [
            self._candidate(call, before.sample, before.version + 1)
            for call, before in zip(calls, repaired, strict=True)
        ]

    def _candidate(self, call: LLMCall, sample: int, version: int = 0) -> Candidate:
        """The program in a response, or the reason why there is none."""
        origin = f"{self.strategy} {sample}{f'.{version}' if version else ''}"
        response = call.response
        if response.finish_reason is not FinishReason.COMPLETE:
            reason = f"the response is {response.finish_reason}"
            return Rejected(origin=origin, stage=RejectionStage.NO_RESPONSE, reason=reason)
        source = extract_source(response.text)
        if source is None:
            return Rejected(origin=origin, stage=RejectionStage.NO_CODE, reason="the response has no code")
        provenance = Provenance(
            model=response.model,
            prompt_key=key_of("prompt", self.prompt)[:12],
            response_key=call.request.key,
            strategy=self.strategy,
            sample=sample,
            version=version,
            list_price_usd=price_of([response, *call.incomplete_responses], self.context.llm.price),
        )
        return Program(source=source, origin=origin, provenance=provenance)


def _batch(requests: Sequence[Request], description: str) -> RequestBatch:
    return RequestBatch(description=description, requests=requests, response_tokens=RESPONSE_TOKENS)
