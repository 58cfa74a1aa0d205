"""The record's section on rounds of improvement."""

from collections.abc import Mapping

from alchemist_exp.context import RunContext
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.evaluation.metrics import score
from alchemist_exp.methods.types import LabelSources
from alchemist_exp.pipeline.cost import list_price
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.programs.types import Program
from alchemist_exp.refinement.trials import SHOWN_ROWS
from alchemist_exp.refinement.types import Round
from alchemist_exp.results.record import Section


def rounds_section(experiment: Experiment, data: TextData, sources: LabelSources) -> Section:
    """Return the record's section on rounds.

    Args:
        experiment: The experiment.
        data: The dataset with its gold labels, for scoring.
        sources: The programs.

    Returns:
        Why the rounds ended, and for each round what was asked for, the programs, their cost, coverage and scores;
        round 0 is that of the first programs. Empty without rounds.

    """
    refined = sources.refined
    if refined is None:
        return {}
    programs = {program.source: program for one in refined.rounds for program in one.accepted}
    return {"stopped": refined.stopped, "list": [_round(one, programs, experiment, data) for one in refined.rounds]}


def round_notes(context: RunContext, sources: LabelSources) -> list[str]:
    """Return what a reader of the scores should know about the rounds.

    Args:
        context: What the stages of the run share.
        sources: The programs.

    Returns:
        One sentence each: whether valid has chosen programs, whether its rows were shown, whether the budget has ended.

    """
    refined, notes = sources.refined, []
    if refined is None:
        return []
    if context.gold.available(Split.VALID):
        notes.append("The programs of the rounds were chosen by the labels of valid: its scores are optimistic.")
    if any(use.startswith(f"{Split.VALID}: {SHOWN_ROWS}") for use in context.gold.uses):
        notes.append("Rows of valid were shown to the LLM: scores on valid are not a fair estimate.")
    if refined.out_of_budget:
        notes.append(
            f"The rounds ended before their time: {refined.stopped}. With a larger budget.usd and force=true the run "
            "goes on with the cached responses."
        )
    return notes


def _round(one: Round, programs: Mapping[str, Program], experiment: Experiment, data: TextData) -> Section:
    verdict, classes = one.verdict, data.task.classes
    metrics = {}
    for split, labels in verdict.labels.items():
        if (gold := data.gold(split)) is not None:
            scores = score(gold, labels.hard(), n_classes=len(classes), positive=experiment.dataset.positive)
            metrics[split.value] = None if scores is None else to_jsonable(scores)
    return {
        "round": one.number,
        "asked": [
            {
                "weakness": weakness.kind.value,
                "classes": [classes[c] for c in weakness.classes],
                "share": weakness.share,
            }
            for weakness in one.weaknesses
        ],
        "calls": len(one.calls),
        "list_price_usd": list_price(one.calls, experiment.llm),
        "candidates": len(one.candidates),
        "accepted": [_name(program) for program in one.accepted],
        "left_out": [_name(programs[source]) | {"reason": reason} for source, reason in verdict.left_out.items()],
        "programs": len(verdict.programs),
        "reverted": verdict.reverted,
        "value": verdict.value,
        "coverage": {split.value: float(labels.covered.mean()) for split, labels in verdict.labels.items()},
        "metrics": metrics,
    }


def _name(program: Program) -> Section:
    return {"id": program.id, "origin": program.origin}
