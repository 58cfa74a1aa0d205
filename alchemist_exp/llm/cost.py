"""What replies cost: exactly where the server metered them, else not at all; and estimates, named as such.

`spent_usd` is what this run paid; `list_price_usd` what it would have paid with an empty cache. Either is None when
it is not known, never 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alchemist_exp.llm.base import LLM, Completion, Usage

CHARACTERS_PER_TOKEN = 4
"""English prose in common tokenizers, roughly; only estimates rest on it."""

ANSWER_TOKENS = 10
"""A zero-shot answer like {"class": "spam"}."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Calls, tokens and dollars of one run."""

    calls: int
    cached_calls: int
    input_tokens: int | None
    output_tokens: int | None
    spent_usd: float | None
    list_price_usd: float | None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Dollars at `price_as_of`, tokens taken as characters / 4: of the programs, and of asking for every row."""

    programs_calls: int
    programs_usd: float
    zero_shot_calls: int
    zero_shot_usd: float
    basis: str


def cost_of(completions: Sequence[Completion], llm: LLM) -> Cost:
    """The cost of `completions`. Replayed recordings cost nothing, whatever their usage."""
    usages = [c.usage for c in completions if c.usage is not None]
    metered = len(usages) == len(completions)
    asked = [c for c in completions if not c.from_cache]
    return Cost(
        calls=len(asked),
        cached_calls=len(completions) - len(asked),
        input_tokens=sum(u.input_tokens for u in usages) if metered else None,
        output_tokens=sum(u.output_tokens for u in usages) if metered else None,
        spent_usd=0.0 if llm.replays or not asked else _price(asked, llm),
        list_price_usd=_price(completions, llm),
    )


def _price(completions: Sequence[Completion], llm: LLM) -> float | None:
    usages = [c.usage for c in completions if c.usage is not None]
    if len(usages) < len(completions):
        return None
    return sum(llm.price.usd(usage) for usage in usages)


def estimate(llm: LLM, *, programs: tuple[int, int, int], zero_shot: tuple[int, int]) -> Estimate:
    """Programs: calls, characters asked, characters answered. Zero-shot: calls, characters asked."""
    calls, asked, answered = programs
    rows, row_characters = zero_shot
    return Estimate(
        programs_calls=calls,
        programs_usd=llm.price.usd(_tokens(asked, answered)),
        zero_shot_calls=rows,
        zero_shot_usd=llm.price.usd(_tokens(row_characters, rows * ANSWER_TOKENS * CHARACTERS_PER_TOKEN)),
        basis=f"{CHARACTERS_PER_TOKEN} characters per token; prices: {llm.price.as_of}",
    )


def _tokens(asked: int, answered: int) -> Usage:
    return Usage(input_tokens=asked // CHARACTERS_PER_TOKEN, output_tokens=answered // CHARACTERS_PER_TOKEN)
