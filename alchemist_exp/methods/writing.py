"""How an LLM is brought to write programs: drafts, vetting, repairs, until there are enough (paper, Section 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from alchemist_exp.core.hashing import key_of
from alchemist_exp.llm.cost import price_of
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch, interleave
from alchemist_exp.llm.types import FinishReason, LLMCall, Request
from alchemist_exp.programs.extract import extract_source
from alchemist_exp.programs.repair import Repair, RowRedactor
from alchemist_exp.programs.types import (
    EMPTY_RESULT,
    Candidate,
    Program,
    Provenance,
    Rejected,
    RejectionStage,
    VettingResult,
)
from alchemist_exp.prompts import programs as prompts
from alchemist_exp.supplements.base import Desk, ResolvedSupplement, Supplement
from alchemist_exp.supplements.written import RESPONSE_TOKENS


@dataclass(frozen=True, kw_only=True)
class GeneratedPrograms:
    """What an LLM has written. replies: how many candidates that took, repairs included."""

    vetted: VettingResult
    supplied: tuple[ResolvedSupplement, ...]
    replies: int


def write(
    desk: Desk, supplement: Supplement, repair: Repair, *, n_programs: int, performance_hint: bool
) -> Dialogue[GeneratedPrograms]:
    """`n_programs` for each member of `supplement`, all members at once."""
    hider = RowRedactor(desk.data)
    members = supplement.members()
    writers = [
        _Writer(desk, member, repair, hider, n_programs=n_programs, performance_hint=performance_hint)
        for member in members
    ]
    written = yield from interleave([writer.write() for writer in writers])
    return GeneratedPrograms(
        vetted=sum((part.vetted for part in written), EMPTY_RESULT),
        supplied=tuple(supplied for part in written for supplied in part.supplied),
        replies=sum(part.replies for part in written),
    )


class _Writer:
    """Has programs written for one prompt."""

    def __init__(
        self,
        desk: Desk,
        supplement: Supplement,
        repair: Repair,
        hider: RowRedactor,
        *,
        n_programs: int,
        performance_hint: bool,
    ) -> None:
        self._desk = desk
        self._supplement = supplement
        self._repair = repair
        self._hider = hider
        self._n_programs = n_programs
        self._advice = performance_hint
        self._vetted = EMPTY_RESULT
        self._replies = 0

    def write(self) -> Dialogue[GeneratedPrograms]:
        """Drafts and their repairs, then new drafts where there is room for more replies."""
        supplied = yield from self._supplement.script(self._desk)
        prompt = prompts.program_prompt(self._desk.data.task, supplied.text, performance_hint=self._advice)
        drafted = 0
        while (wanted := min(self._n_programs - len(self._vetted.accepted), self._room())) > 0:
            candidates = yield from self._drafts(prompt, range(drafted, drafted + wanted))
            drafted += wanted
            rejected = self._vet(candidates)
            for _ in range(self._repair.attempts):
                mendable = [r for r in rejected if r.program is not None][: self._room()]
                if not mendable:
                    break
                candidates = yield from self._repairs(prompt, mendable)
                rejected = self._vet(candidates)
            if self._repair.max_responses is None:
                break
        return GeneratedPrograms(vetted=self._vetted, supplied=(supplied,), replies=self._replies)

    def _room(self) -> int:
        """Replies that may still be asked for."""
        most = self._repair.max_responses
        return self._n_programs if most is None else most - self._replies

    def _vet(self, candidates: Sequence[Candidate]) -> tuple[Rejected, ...]:
        """Keeps what passes and what does not; gives the latter."""
        self._replies += len(candidates)
        vetted = self._desk.trials.vet(candidates)
        self._vetted += vetted
        return vetted.rejected

    def _drafts(self, prompt: str, samples: range) -> Dialogue[list[Candidate]]:
        llm = self._desk.llm
        if not llm.prompts_for_variety:
            requests = [llm.request(prompts.SYSTEM, prompt, sample=sample) for sample in samples]
            replies = yield self._ask(requests)
            return [self._candidate(prompt, reply, n) for n, reply in zip(samples, replies, strict=True)]
        candidates: list[Candidate] = []
        written = [program.source for program in self._vetted.accepted]
        for sample in samples:
            request = llm.request(prompts.SYSTEM, prompts.unlike(prompt, written), sample=sample)
            (reply,) = yield self._ask([request])
            candidates.append(self._candidate(prompt, reply, sample))
            written += [c.source for c in candidates[-1:] if isinstance(c, Program)]
        return candidates

    def _repairs(self, prompt: str, rejected: Sequence[Rejected]) -> Dialogue[list[Candidate]]:
        requests, written = [], []
        for rejection in rejected:
            program = rejection.program
            if program is None or program.written is None:
                raise ValueError(f"{rejection.origin} was not written by an LLM")
            reason = self._hider.without_rows(rejection.reason)
            if rejection.stage is RejectionStage.BELOW_CHANCE:
                reason = "it is right less often than chance"  # figures taken on gold labels stay here
            text = prompts.repair_prompt(prompt, program.source, reason)
            requests.append(self._desk.llm.request(prompts.SYSTEM, text, sample=program.written.sample))
            written.append(program.written)
        replies = yield self._ask(requests, "asking for repairs")
        return [
            self._candidate(prompt, reply, before.sample, before.version + 1)
            for reply, before in zip(replies, written, strict=True)
        ]

    def _ask(self, requests: Sequence[Request], what: str = "asking for programs") -> RequestBatch:
        return RequestBatch(description=what, requests=requests, response_tokens=RESPONSE_TOKENS)

    def _candidate(self, prompt: str, reply: LLMCall, sample: int, version: int = 0) -> Candidate:
        strategy = self._supplement.strategy
        origin = f"{strategy} {sample}{f'.{version}' if version else ''}"
        response = reply.response
        if response.finish_reason is not FinishReason.COMPLETE:
            return Rejected(
                origin=origin, stage=RejectionStage.NO_REPLY, reason=f"the reply is {response.finish_reason}"
            )
        source = extract_source(response.text)
        if source is None:
            return Rejected(origin=origin, stage=RejectionStage.NO_CODE, reason="the reply holds no code")
        written = Provenance(
            model=response.model,
            prompt=key_of("prompt", prompt)[:12],
            reply=reply.request.key,
            strategy=strategy,
            sample=sample,
            version=version,
            usd=price_of([response, *reply.incomplete_responses], self._desk.llm.price),
        )
        return Program(source=source, origin=origin, written=written)
