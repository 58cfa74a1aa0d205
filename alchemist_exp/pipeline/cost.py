"""What a run has cost, compared with what zero-shot prompting would cost."""

from collections.abc import Sequence
from typing import Final

from alchemist_exp.context import RunContext
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.llm.cost import BreakEven, break_even, cost_of
from alchemist_exp.llm.tokens import basis, count_tokens
from alchemist_exp.llm.types import LLM, LLMCall, Usage
from alchemist_exp.methods.alchemist import AlchemistMethod
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.methods.zero_shot import ZeroShotMethod
from alchemist_exp.pipeline.estimates import expected_usage, input_tokens, zero_shot_usage
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.results.record import Section

_PROGRAMS: Final = AlchemistMethod(name="alchemist", n_programs=10, performance_hint=False)
_ROWS: Final = ZeroShotMethod(name="zero_shot", max_output_tokens=1_000)
"""What is compared: ten programs of each strategy, and one request for each training row."""


def cost_section(experiment: Experiment, context: RunContext, result: LabelingResult) -> Section:
    """Return the record's section on cost.

    Args:
        experiment: The experiment.
        context: What the stages of the run share.
        result: Has the LLM calls.

    Returns:
        Calls, tokens and dollars of the run, and the comparison of programs with zero-shot prompting.

    """
    llm = experiment.llm
    section: Section = to_jsonable(cost_of(result.calls, llm))
    # Our own count next to the server's, so that a reader can see how far off the plan's counts are.
    sent = [call.request for call in result.calls for _ in (call, *call.incomplete_responses)]
    return section | {
        "estimated_input_tokens": input_tokens(sent, llm.encoding),
        "replayed": llm.replays,
        "break_even": to_jsonable(compare_with_zero_shot(experiment, context, result.calls)),
    }


def compare_with_zero_shot(experiment: Experiment, context: RunContext, calls: Sequence[LLMCall]) -> BreakEven:
    """Compare the price of programs with that of one request for each training row.

    Args:
        experiment: The experiment.
        context: What the stages of the run share.
        calls: The calls of the run; they are measured. What they are not part of is estimated.

    Returns:
        The comparison, at the price of the experiment's LLM.

    """
    llm, method = experiment.llm, experiment.method
    by_rows = isinstance(method, ZeroShotMethod)
    zero_shot = method if isinstance(method, ZeroShotMethod) else _ROWS
    basis_of_counts = f"tokens counted by {basis(llm.encoding)}"
    usage = _metered_usage(calls)
    if usage is None:
        usage = _counted_usage(calls, llm)
    else:
        basis_of_counts = f"{'zero-shot' if by_rows else 'programs'} metered, the other's {basis_of_counts}"
    programs = (len(calls), usage)
    rows: tuple[int, Usage] | None = programs
    if by_rows or not calls:
        programs = expected_usage(_PROGRAMS if by_rows else method, experiment, context)
    if experiment.dataset.images:
        rows = None
    elif not by_rows or not calls:
        rows = zero_shot_usage(zero_shot, context)
    return break_even(llm.price, programs=programs, zero_shot=rows, basis=basis_of_counts)


def list_price(calls: Sequence[LLMCall], llm: LLM) -> float | None:
    """Return what calls cost at the list price, with tokens counted here where the provider metered none.

    Args:
        calls: The calls, from the cache or not.
        llm: The model that was called.

    Returns:
        USD; None if the price is not known.

    """
    if llm.price is None:
        return None
    return llm.price.usd(_metered_usage(calls) or _counted_usage(calls, llm))


def _counted_usage(calls: Sequence[LLMCall], llm: LLM) -> Usage:
    """The tokens of all prompts and responses, by our own count."""
    output_tokens = sum(count_tokens(call.response.text, llm.encoding) for call in calls)
    return Usage(input_tokens=input_tokens([call.request for call in calls], llm.encoding), output_tokens=output_tokens)


def _metered_usage(calls: Sequence[LLMCall]) -> Usage | None:
    """The tokens of all responses; None without calls, or when the server did not report them all."""
    responses = [response for call in calls for response in (call.response, *call.incomplete_responses)]
    usages = [response.usage for response in responses if response.usage is not None]
    return sum(usages[1:], usages[0]) if usages and len(usages) == len(responses) else None
