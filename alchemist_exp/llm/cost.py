"""What responses cost: exact where the provider metered them, else unknown (None, never 0); and upper bounds.

`spent_usd` is what a run paid. `list_price_usd` is what it would have paid with an empty cache.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alchemist_exp.llm.tokens import upper_bound
from alchemist_exp.llm.types import LLM, FinishReason, LLMCall, Price, Request, Response, Usage


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Calls, tokens and USD of one run. Tokens are None if any response was not metered.

    Attributes:
        calls: Number of attempts that got a response from the provider, complete or not.
        cached_calls: Number of responses from the cache.
        incomplete: Number of responses that were paid for and could not be used, by finish reason.
        input_tokens: Tokens of all prompts, including those of cached responses.
        cached_tokens: Input tokens that the provider read from its prompt cache.
        output_tokens: Tokens of all responses.
        reasoning_tokens: Output tokens that are not shown.
        spent_usd: What this run paid, in USD; None if unknown.
        list_price_usd: What it would have paid with an empty cache, in USD; None if unknown.

    """

    calls: int
    cached_calls: int
    incomplete: Mapping[str, int]
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    spent_usd: float | None
    list_price_usd: float | None


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """The cost of programs compared with zero-shot labeling of every training row; USD are None if unknown.

    Attributes:
        programs_calls: Number of calls that generate the programs.
        programs_usd: What these calls cost in USD, whatever the number of rows.
        zero_shot_calls: Number of calls of zero-shot labeling, one per distinct row; 0 for images, which are not sent.
        zero_shot_usd: What these calls cost in USD.
        zero_shot_batch_usd: The same through a batch API; None if it is not cheaper.
        rows_from: The smallest number of rows for which programs are cheaper than zero-shot labeling.
        rows_from_batch: The same, compared with zero-shot labeling through a batch API.
        basis: What was metered, and how tokens were counted otherwise.
        price_as_of: The date or source of the price.

    """

    programs_calls: int
    programs_usd: float | None
    zero_shot_calls: int
    zero_shot_usd: float | None
    zero_shot_batch_usd: float | None
    rows_from: int | None
    rows_from_batch: int | None
    basis: str
    price_as_of: str | None


def cost_of(calls: Sequence[LLMCall], llm: LLM) -> Cost:
    """Sum the cost of LLM calls. Replayed recordings cost nothing, whatever their usage.

    Args:
        calls: All calls of a run, each with its incomplete responses.
        llm: The model that was called, which has the price.

    Returns:
        The sums. Any of them is None if it is not known for every response.

    """
    final = [call.response for call in calls]
    responses = final + [response for call in calls for response in call.incomplete_responses]
    paid = [response for response in responses if not response.from_cache]
    usages = [response.usage for response in responses if response.usage is not None]
    metered = len(usages) == len(responses)
    return Cost(
        calls=len(paid),
        cached_calls=len(responses) - len(paid),
        incomplete=Counter(r.finish_reason.value for r in responses if r.finish_reason is not FinishReason.COMPLETE),
        input_tokens=sum(u.input_tokens for u in usages) if metered else None,
        cached_tokens=sum(u.cached_tokens for u in usages) if metered else None,
        output_tokens=sum(u.output_tokens for u in usages) if metered else None,
        reasoning_tokens=sum(u.reasoning_tokens for u in usages) if metered else None,
        spent_usd=0.0 if llm.replays or not paid else price_of(paid, llm.price),
        list_price_usd=price_of(responses, llm.price),
    )


def price_of(responses: Sequence[Response], price: Price | None) -> float | None:
    """Return what responses cost.

    Args:
        responses: Responses of one model.
        price: Its price; None if unknown.

    Returns:
        USD, or None if the price or the usage of any response is unknown.

    """
    if price is None or any(response.usage is None for response in responses):
        return None
    return sum(price.usd(r.usage, batch=r.batch) for r in responses if r.usage is not None)


def max_cost(request: Request, price: Price, *, batch: bool = False) -> float:
    """Return the most that one attempt can cost, which is what the budget reserves.

    Args:
        request: The request. Its `max_output_tokens` parameter bounds the response.
        price: The price of the model.
        batch: Whether it is sent through a batch API.

    Returns:
        An upper bound in USD.

    """
    usage = Usage(
        input_tokens=upper_bound(request.messages), output_tokens=int(request.parameters["max_output_tokens"])
    )
    return price.usd(usage, batch=batch)


def break_even(
    price: Price | None, *, programs: tuple[int, Usage], zero_shot: tuple[int, Usage] | None, basis: str
) -> BreakEven:
    """Compare the cost of programs with the cost of zero-shot labeling.

    Args:
        price: The price of the model; None if unknown.
        programs: Number of calls and tokens of generating the programs.
        zero_shot: Number of calls and tokens of zero-shot labeling; None for rows that are not sent to an LLM.
        basis: How the tokens were counted, for people.

    Returns:
        The comparison.

    """
    programs_calls, programs_usage = programs
    n_rows, zero_shot_usage = zero_shot or (0, None)
    programs_usd = zero_shot_usd = batch_usd = None
    if price is not None:
        programs_usd = price.usd(programs_usage)
    if price is not None and zero_shot_usage is not None:
        zero_shot_usd = price.usd(zero_shot_usage)
        batch_usd = price.usd(zero_shot_usage, batch=True) if price.batch_factor != 1 else None
    return BreakEven(
        programs_calls=programs_calls,
        programs_usd=programs_usd,
        zero_shot_calls=n_rows,
        zero_shot_usd=zero_shot_usd,
        zero_shot_batch_usd=batch_usd,
        rows_from=_rows_from(programs_usd, zero_shot_usd, n_rows),
        rows_from_batch=_rows_from(programs_usd, batch_usd, n_rows),
        basis=basis,
        price_as_of=None if price is None else price.as_of,
    )


def _rows_from(programs_usd: float | None, zero_shot_usd: float | None, n_rows: int) -> int | None:
    """Return the smallest number of rows for which `n_rows` calls of `zero_shot_usd` cost more than the programs."""
    if not programs_usd or not zero_shot_usd:
        return None
    return math.floor(programs_usd / (zero_shot_usd / n_rows)) + 1
