"""What a run will cost, and what it has cost beside what zero-shot labeling would.

A plan follows the same script as a run, with guessed replies where none is cached, so the two cannot drift apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.types import IntArray, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.llm.cost import BreakEven, break_even, cost_of
from alchemist_exp.llm.dialogue import RequestBatch, run_dialogue
from alchemist_exp.llm.providers.base import CacheMode
from alchemist_exp.llm.tokens import basis, count_messages, count_tokens
from alchemist_exp.llm.types import LLM, FinishReason, LLMCall, Request, Response, Usage
from alchemist_exp.methods.base import LabelingResult, Method
from alchemist_exp.methods.programs import AlchemistMethod
from alchemist_exp.methods.zero_shot import ZeroShotMethod
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.programs.trials import AssumedTrials
from alchemist_exp.results.record import Section
from alchemist_exp.supplements.base import Desk

_COUNTED_ROWS = 1000
"""Rows whose tokens are counted, evenly spaced; the others are taken to be like them."""

_PROGRAMS = AlchemistMethod(name="alchemist", n_programs=10, performance_hint=False)
_ROWS = ZeroShotMethod(name="zero_shot", max_output_tokens=1_000)
"""What is compared: ten programs by the general prompt, and a question for each row."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an experiment would ask its LLM. Tokens and dollars are of the calls; cached replies cost nothing.

    most_calls, most_usd: with replies as long as they may be, and as many as repairs may take; attempts that fail and
    are paid for come on top. warnings: why the run would be refused, or cost otherwise. asked: the keys of the calls,
    as far as they can be known before the replies they depend on.
    """

    calls: int
    most_calls: int
    cached_calls: int
    usage: Usage
    usd: float | None
    most_usd: float | None
    warnings: tuple[str, ...]
    asked: frozenset[str]
    against: BreakEven


def plan(experiment: Experiment, data: TextData, asked_before: frozenset[str] = frozenset()) -> Plan:
    """The plan of `experiment`. asked_before: keys of what earlier jobs of a sweep will have asked."""
    llm, llm_client = experiment.llm, experiment.llm_client()
    anew = getattr(llm, "cache", None) is CacheMode.refresh
    guesses = _Guesses(llm, llm_client.cached_response, frozenset() if anew else asked_before)
    _follow(experiment.method, experiment, data, guesses)
    # Replies as long as they may be, and where programs can be repaired, none of them accepted.
    repairs = experiment.repair.attempts > 0 or experiment.repair.max_responses is not None
    longest = _Guesses(llm, llm_client.cached_response, frozenset() if anew else asked_before, longest=True)
    _follow(experiment.method, experiment, data, longest, accepting=not repairs)
    usd, most_usd = (
        0.0
        if llm.replays or not guesses.calls
        else None
        if llm.price is None
        else llm.price.usd(u, batch=guesses.batch)
        for u in (guesses.usage, longest.usage)
    )
    return Plan(
        calls=guesses.calls,
        most_calls=longest.calls,
        cached_calls=guesses.cached_calls,
        usage=guesses.usage,
        usd=usd,
        most_usd=most_usd,
        warnings=_warnings(experiment, data, guesses, most_usd),
        asked=frozenset(guesses.asked),
        against=_against(experiment, data, ()),
    )


def _warnings(experiment: Experiment, data: TextData, guesses: "_Guesses", most_usd: float | None) -> tuple[str, ...]:
    """What a person should know who would run this."""
    found = []
    try:
        experiment.check()
        experiment.check_against(data)
    except AlchemistError as refusal:
        found.append(f"as it is, the run is refused: {refusal}")
    if guesses.calls and getattr(experiment.llm, "cache", None) is CacheMode.only:
        found.append("llm.cache is only, so the run stops at the first reply that is not in the cache.")
    cap, spent = experiment.budget.usd, experiment.llm_client().spent_usd
    if cap is not None and most_usd is not None and spent + most_usd > cap:
        found.append(f"the budget of ${cap:,.2f}, of which ${spent:,.4f} is spent, may not do.")
    return tuple(found)


def cost_section(experiment: Experiment, labeling: LabelingResult, data: TextData) -> Section:
    """What was paid, and what programs and zero-shot labeling of every training row cost by the same price."""
    llm = experiment.llm
    section: Section = to_jsonable(cost_of(labeling.calls, llm))
    against = to_jsonable(_against(experiment, data, labeling.calls))
    # Beside what the server counted, so that whoever trusts a plan can see how far off its counts are.
    estimated = _input_tokens([e.request for e in labeling.calls for _ in (e, *e.incomplete_responses)], llm.encoding)
    return section | {"estimated_input_tokens": estimated, "replayed": llm.replays, "break_even": against}


def _against(experiment: Experiment, data: TextData, calls: Sequence[LLMCall]) -> BreakEven:
    """Programs against zero-shot labeling; measured for what `calls` are of, else estimated."""
    llm, method = experiment.llm, experiment.method
    by_rows = isinstance(method, ZeroShotMethod)
    basis_of_counts = f"tokens counted by {basis(llm.encoding)}"
    metered = _metered(calls)
    if metered is not None:
        basis_of_counts = f"{'zero-shot' if by_rows else 'programs'} metered, the other's {basis_of_counts}"
    measured = len(calls), metered or _counted(calls, llm)
    programs = rows = measured
    if by_rows or not calls:
        programs = _expected(_PROGRAMS if by_rows else method, experiment, data)
    if not by_rows or not calls:
        rows = _expected(method if by_rows else _ROWS, experiment, data)
    return break_even(llm.price, programs=programs, zero_shot=rows, basis=basis_of_counts)


def _expected(method: Method, experiment: Experiment, data: TextData) -> tuple[int, Usage]:
    """Calls and tokens of a method with nothing cached."""
    guesses = _Guesses(experiment.llm, lambda request: None)
    _follow(method, experiment, data, guesses)
    return guesses.calls, guesses.usage


def _follow(
    method: Method, experiment: Experiment, data: TextData, guesses: "_Guesses", *, accepting: bool = True
) -> None:
    """Counts what `method` asks when all programs are accepted, or none."""
    desk = Desk(
        data=data,
        gold=usable_gold(experiment, data),
        llm=experiment.llm,
        trials=AssumedTrials(data=data, accepting=accepting),
        store=ArtifactCache(experiment.paths.cache),
    )
    script = method.script(desk, experiment.parts)
    if script is not None:
        run_dialogue(script, guesses.answer)


def usable_gold(experiment: Experiment, data: TextData) -> dict[Split, IntArray]:
    """The labels that stages may see: none, or those of train and valid."""
    if not experiment.gold.use_valid:
        return {}
    return {split: gold for split in (Split.TRAIN, Split.VALID) if (gold := data.gold(split)) is not None}


def _metered(calls: Sequence[LLMCall]) -> Usage | None:
    """The tokens of all replies; None where a server did not say, or nothing was asked."""
    replies = [c for call in calls for c in (call.response, *call.incomplete_responses)]
    usages = [reply.usage for reply in replies if reply.usage is not None]
    return sum(usages[1:], usages[0]) if usages and len(usages) == len(replies) else None


def _counted(calls: Sequence[LLMCall], llm: LLM) -> Usage:
    asked = _input_tokens([call.request for call in calls], llm.encoding)
    answered = sum(count_tokens(call.response.text, llm.encoding) for call in calls)
    return Usage(input_tokens=asked, output_tokens=answered)


class _Guesses:
    """Answers asks with replies that are found, and guesses others by their length; counts those."""

    def __init__(
        self,
        llm: LLM,
        find: Callable[[Request], Response | None],
        asked_before: frozenset[str] = frozenset(),
        *,
        longest: bool = False,
    ) -> None:
        self._longest = longest
        self._llm = llm
        self._find = find
        self._asked_before = asked_before
        self.calls = self.cached_calls = 0
        self.usage = Usage(input_tokens=0, output_tokens=0)
        self.batch = False
        self.asked: set[str] = set()

    def answer(self, batch: RequestBatch) -> list[LLMCall]:
        """A call for each request."""
        distinct = {request.key: request for request in batch.requests}
        found = {key: self._find(request) for key, request in distinct.items()}
        missing = [
            request
            for key, request in distinct.items()
            if found[key] is None and key not in self.asked and key not in self._asked_before
        ]
        self.asked |= {request.key for request in missing}
        self.calls += len(missing)
        self.cached_calls += len(distinct) - len(missing)
        self.batch = batch.per_row and self._llm.uses_batch_api
        asked = _input_tokens(missing, self._llm.encoding)
        self.usage += Usage(input_tokens=asked, output_tokens=sum(self._length(request, batch) for request in missing))
        return [
            LLMCall(request=request, response=found[request.key] or _guess(self._length(request, batch), request.key))
            for request in batch.requests
        ]

    def _length(self, request: Request, batch: RequestBatch) -> int:
        """Tokens of the reply."""
        longest: int = request.parameters.get("max_output_tokens", batch.response_tokens)
        return longest if self._longest else batch.response_tokens


def _guess(tokens: int, key: str) -> Response:
    """A reply of about so many tokens, unlike those to other requests: prompts are made of replies."""
    text = f"```python\n{key}\n" + "text " * tokens + "\n```"
    return Response(text=text, model="", finish_reason=FinishReason.COMPLETE, usage=None)


def _input_tokens(requests: Sequence[Request], encoding: str | None) -> int:
    """Tokens of all requests, from an evenly spaced sample where they are many."""
    step = max(1, len(requests) // _COUNTED_ROWS)
    counted = requests[::step]
    tokens = sum(count_messages(request.messages, encoding) for request in counted)
    return round(tokens * len(requests) / len(counted)) if counted else 0
