"""What replies cost: exactly where the server metered them, else not at all; and estimates, named as such.

`spent_usd` is what this run paid; `list_price_usd` what it would have paid with an empty cache. Either is None when
it is not known, never 0.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alchemist_exp.llm.types import LLM, FinishReason, LLMCall, Price, Response, Usage


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Calls, tokens and dollars of one run.

    incomplete: replies that were paid for and could not be used, by reason. Tokens are those of all replies, cached
    ones too, and None where a server did not meter them.
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
    """Dollars of programs against asking for each of `rows` training rows; None where the price is not known.

    rows_from: the number of rows from which the programs are cheaper than zero-shot labeling, and than it by a batch
    API. basis: what was measured, and how tokens were counted where nothing was. price_as_of: how old the prices are.
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
    """The cost of `calls`. Replayed recordings cost nothing, whatever their usage."""
    finals = [call.response for call in calls]
    wasted = [response for call in calls for response in call.incomplete_responses]
    replies = finals + wasted
    asked = [response for response in replies if not response.from_cache]
    usages = [response.usage for response in replies if response.usage is not None]
    metered = len(usages) == len(replies)
    return Cost(
        calls=len(asked),
        cached_calls=len(replies) - len(asked),
        incomplete=Counter(c.finish_reason.value for c in replies if c.finish_reason is not FinishReason.COMPLETE),
        input_tokens=sum(u.input_tokens for u in usages) if metered else None,
        cached_tokens=sum(u.cached_tokens for u in usages) if metered else None,
        output_tokens=sum(u.output_tokens for u in usages) if metered else None,
        reasoning_tokens=sum(u.reasoning_tokens for u in usages) if metered else None,
        spent_usd=0.0 if llm.replays or not asked else price_of(asked, llm.price),
        list_price_usd=price_of(replies, llm.price),
    )


def price_of(responses: Sequence[Response], price: Price | None) -> float | None:
    """The dollars of `responses`; None where a price or a usage is not known."""
    if price is None or any(response.usage is None for response in responses):
        return None
    return sum(price.usd(c.usage, batch=c.batch) for c in responses if c.usage is not None)


def break_even(
    price: Price | None, *, programs: tuple[int, Usage], zero_shot: tuple[int, Usage], basis: str
) -> BreakEven:
    """Programs and zero-shot labeling: calls and tokens of each."""
    (calls, program_usage), (rows, row_usage) = programs, zero_shot
    programs_usd = zero_shot_usd = batch_usd = None
    if price is not None:
        programs_usd = price.usd(program_usage)
        zero_shot_usd = price.usd(row_usage)
        batch_usd = price.usd(row_usage, batch=True) if price.batch_factor != 1 else None
    return BreakEven(
        programs_calls=calls,
        programs_usd=programs_usd,
        zero_shot_calls=rows,
        zero_shot_usd=zero_shot_usd,
        zero_shot_batch_usd=batch_usd,
        rows_from=_rows_from(programs_usd, zero_shot_usd, rows),
        rows_from_batch=_rows_from(programs_usd, batch_usd, rows),
        basis=basis,
        price_as_of=None if price is None else price.as_of,
    )


def _rows_from(programs_usd: float | None, rows_usd: float | None, rows: int) -> int | None:
    """The least number of rows at which asking for each costs more than the programs."""
    if not programs_usd or not rows_usd:
        return None
    return math.floor(programs_usd / (rows_usd / rows)) + 1
