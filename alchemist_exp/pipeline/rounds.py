"""Rounds of improvement in a run and in a plan."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from alchemist_exp.context import RunContext
from alchemist_exp.llm.dialogue import RequestBatch, run_dialogue
from alchemist_exp.llm.types import LLMCall
from alchemist_exp.methods.alchemist import AlchemistMethod
from alchemist_exp.methods.types import GeneratedPrograms
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.programs.trials import RunTrials
from alchemist_exp.refinement.rounds import RoundsDialogue, refine
from alchemist_exp.refinement.settings import Rounds
from alchemist_exp.refinement.trials import AssumedRounds, RunRounds


def refine_programs(
    experiment: Experiment, context: RunContext, trials: RunTrials, generated: GeneratedPrograms
) -> GeneratedPrograms:
    """Ask for further programs in rounds, if the experiment has rounds.

    Args:
        experiment: The experiment.
        context: What the stages of the run share.
        trials: The trials of the first programs.
        generated: The first programs.

    Returns:
        The first programs and those of all rounds; `generated` itself with refine=none.

    Raises:
        LLMError: The LLM cannot be reached.

    """
    settings = experiment.refine
    if not isinstance(settings, Rounds):
        return generated
    request = _request(experiment, context)
    rounds = RunRounds(context=context, vetter=trials.vetter, settings=settings, request=request)
    refined = refine(context, rounds, settings, experiment.repair, request, generated.candidates)
    calls = {call.request.key: call for call in (*generated.calls, *refined.calls)}
    return replace(generated, candidates=refined.candidates, calls=tuple(calls.values()), refined=refined)


def plan_rounds(
    experiment: Experiment,
    context: RunContext,
    answer: Callable[[RequestBatch], Sequence[LLMCall]],
    *,
    accepting: bool,
) -> None:
    """Ask for the programs of all rounds as a run does, for a plan.

    Args:
        experiment: The experiment.
        context: What the stages of the run share.
        answer: Answers and counts the requests.
        accepting: Whether vetting accepts all programs, or none.

    """
    settings = experiment.refine
    if not isinstance(settings, Rounds) or not experiment.uses("refine"):
        return
    request = _request(experiment, context)
    trials = AssumedRounds(data=context.data, accepting=accepting, context=context, settings=settings, request=request)
    rounds = RoundsDialogue(
        context=context, trials=trials, settings=settings, repair=experiment.repair, request=request
    )
    run_dialogue(rounds.dialogue(()), answer)


def _request(experiment: Experiment, context: RunContext) -> str:
    """Return the prompt for a program without supplement."""
    method = experiment.method
    hint = isinstance(method, AlchemistMethod) and method.performance_hint
    return context.prompts.program_request(context.data.task, performance_hint=hint)
