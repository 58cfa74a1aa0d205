"""What a run will ask the LLM, and what that will cost.

A plan runs the same dialogue as the run, with guessed responses where the cache has none, so the two cannot differ.
"""

from dataclasses import dataclass

from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.progress import NoProgress, StageProgress
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.llm.cost import BreakEven
from alchemist_exp.llm.providers.base import CacheMode
from alchemist_exp.llm.types import Usage
from alchemist_exp.pipeline.compatibility import check_experiment, check_with_data
from alchemist_exp.pipeline.cost import compare_with_zero_shot
from alchemist_exp.pipeline.data_section import missing_text_notes
from alchemist_exp.pipeline.estimates import GuessedResponses, run_with_guesses
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.multi_label_checks import check_multi_label
from alchemist_exp.pipeline.stages import make_context

REFUSAL = "the run would be refused: "
"""How the warning begins that has the error with which the run would end."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an experiment will ask its LLM.

    Attributes:
        calls: Expected calls; cached responses need none.
        max_calls: Calls when no first response with concepts is usable and vetting rejects all programs, so that
            repairs are asked for as often as allowed. Failed attempts that are paid for come on top.
        cached_calls: Calls that the cache answers.
        usage: Expected tokens of `calls`.
        usd: Their price; None when the model's price is not known.
        max_usd: The price of `max_calls` with responses as long as they may be.
        warnings: Notes of the data, and why the run would be refused, or would cost more or less than the plan says.
        asked: The keys of the calls, as far as they are known before the responses that they depend on.
        break_even: Programs compared with zero-shot prompting.

    """

    calls: int
    max_calls: int
    cached_calls: int
    usage: Usage
    usd: float | None
    max_usd: float | None
    warnings: tuple[str, ...]
    asked: frozenset[str]
    break_even: BreakEven


def plan(experiment: Experiment, data: TextData, asked_before: frozenset[str] = frozenset()) -> Plan:
    """Plan an experiment without asking anything.

    Args:
        experiment: The experiment.
        data: Its dataset, loaded.
        asked_before: The keys of what earlier jobs of a sweep will have asked.

    Returns:
        Calls, tokens and dollars.

    Raises:
        ConfigError: The dataset has several classes per row, and the experiment is for one.
        DataError: The column of the texts has nearly no texts, or other values than texts.

    """
    check_multi_label(experiment)
    context, _ = make_context(experiment, data.rows_with_text, StageProgress(NoProgress()), plan=True)
    llm, client = experiment.llm, context.llm_client
    if getattr(llm, "cache", None) is CacheMode.refresh:
        asked_before = frozenset()
    expected = GuessedResponses(llm, client.cached_response, asked_before)
    run_with_guesses(experiment.method, experiment, context, expected)
    # The most: responses as long as they may be, concepts only at the second attempt, and where programs can be
    # repaired, no program accepted.
    repairs = experiment.repair.attempts > 0 or experiment.repair.max_responses is not None
    most = GuessedResponses(llm, client.cached_response, asked_before, longest=True)
    run_with_guesses(experiment.method, experiment, context, most, accepting=not repairs, usable_concepts=False)

    def cost(guesses: GuessedResponses) -> float | None:
        """Return the dollars of the guessed calls; None if the price is not known."""
        if llm.replays or not guesses.calls:
            return 0.0
        if llm.price is None:
            return None
        price, in_batches = llm.price, guesses.batch_usage
        return price.usd(guesses.usage) - price.usd(in_batches) + price.usd(in_batches, batch=True)

    max_usd = cost(most)
    return Plan(
        calls=expected.calls,
        max_calls=most.calls,
        cached_calls=expected.cached_calls,
        usage=expected.usage,
        usd=cost(expected),
        max_usd=max_usd,
        warnings=_warnings(experiment, data, expected, max_usd, client.spent_usd),
        asked=frozenset(expected.asked),
        # With all responses in the cache, their real lengths count, as in the run.
        break_even=compare_with_zero_shot(experiment, context, () if expected.calls else expected.cached),
    )


def _warnings(
    experiment: Experiment, data: TextData, expected: GuessedResponses, max_usd: float | None, spent_usd: float
) -> tuple[str, ...]:
    warnings = [*data.notes, *missing_text_notes(data)]
    try:
        check_experiment(experiment)
        check_with_data(experiment, data)
    except AlchemistError as refusal:
        warnings.append(f"{REFUSAL}{refusal}")
    if expected.calls and getattr(experiment.llm, "cache", None) is CacheMode.only:
        warnings.append("llm.cache is only, so the run stops at the first response that is not in the cache.")
    if rows := expected.too_long:
        numbers = data.rows_with_text.rows_of_input(Split.TRAIN)
        shown = ", ".join(f"{numbers[row] + 1}" for row in rows[:10]) + f" and {len(rows) - 10:,} more" * (
            len(rows) > 10
        )
        warnings.append(
            f"{len(rows):,} rows of train are longer than the context of {experiment.llm.model} (row {shown}) and will "
            "be counted as refused; shorten them, or name an llm.model with a longer context."
        )
    if experiment.uses("refine"):
        warnings.append(
            "the prompts of rounds depend on votes, which a plan does not have: all rounds are counted with long "
            "prompts, also those whose responses are in the cache."
        )
    limit = experiment.budget.usd
    if limit is not None and max_usd is not None and spent_usd + max_usd > limit:
        warnings.append(f"the budget of ${limit:,}, of which ${spent_usd:,.4f} is spent, may be too small.")
    return tuple(warnings)
