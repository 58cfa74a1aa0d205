"""The record's section on programs: what became of each candidate, and what each program's votes look like."""

from collections import Counter
from collections.abc import Mapping, Sequence

from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.label_sets import SetMatrix
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.evaluation.program_scores import program_scores
from alchemist_exp.label_models.influence import program_influence
from alchemist_exp.label_models.per_class import PerClassModel
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.programs.files import parent_id
from alchemist_exp.programs.types import Program, RejectionStage
from alchemist_exp.results.record import Section
from alchemist_exp.sandbox.base import ProgramRun


def programs_section(result: LabelingResult, data: TextData, sandbox: str, wrong: Mapping[int, str]) -> Section:
    """Return the record's section on programs, or on human-crafted labeling functions.

    Args:
        result: The soft labels, the votes they were made from, and the fate of all candidates.
        data: The dataset; its labels of train are used for each program's accuracy, those of valid if train has none.
        sandbox: The mode of the sandbox.
        wrong: The reason by column of each program whose votes are wrong, see `wrong_programs`.

    Returns:
        Counts of requested, accepted, rejected and selected programs, and a list with what is known of each.
    """
    sources = result.sources
    total: Counter[str] = Counter()
    for runs in sources.runs.values():
        for run in runs.values():
            total.update({outcome.value: count for outcome, count in run.outcomes.items()})
    stages = Counter(rejected.stage for rejected in sources.rejected)
    return {
        "source": sources.method,
        "sandbox": sandbox if sources.runs else None,
        "requested": sources.n_requested,
        "candidates": sources.n_candidates,
        "accepted": len(sources.ids) + len(sources.unselected),
        "selected": len(sources.ids),
        "rejected": [
            {"id": rejected.id, "origin": rejected.origin, "stage": rejected.stage.value, "reason": rejected.reason}
            | _provenance(rejected.program)
            for rejected in sources.rejected
        ],
        "rejected_by_stage": {stage.value: stages[stage] for stage in RejectionStage if stages[stage]},
        "not_selected": [{"id": program.id, "origin": program.origin} for program in sources.unselected],
        "supplements": [to_jsonable(supplement) for supplement in sources.supplements],
        "outcomes": dict(total),
        "row_outcomes": dict(sources.responses),
        "list": _programs(result, data, wrong),
    }


def _programs(result: LabelingResult, data: TextData, wrong: Mapping[int, str]) -> list[Section]:
    """What is known of each program whose votes were used."""
    sources, classes = result.sources, data.task.classes
    train = sources.matrices[Split.TRAIN]
    scores = program_scores(train, data.gold(Split.TRAIN))
    accuracies = [score.accuracy for score in scores]
    if data.gold(Split.TRAIN) is None and Split.VALID in sources.matrices:
        on_valid = program_scores(sources.matrices[Split.VALID], data.gold(Split.VALID))
        accuracies = [score.accuracy for score in on_valid]
    influence, model = None, result.label_model
    if model is not None:
        if isinstance(model, PerClassModel) and isinstance(train, SetMatrix):
            shares = model.influence(train)
        else:
            shares = program_influence(model, train)
        influence = [float(share) for share in shares]
    programs = []
    for column, (id_, origin, score) in enumerate(zip(sources.ids, sources.origins, scores, strict=True)):
        program = sources.programs[column] if sources.programs else None
        programs.append(
            {
                "id": id_,
                "origin": origin,
                "file": sources.names[column] if program else None,
                "coverage": score.coverage,
                "polarity": [classes[c] for c in score.polarity],
                "overlap": score.overlap,
                "conflict": score.conflict,
                "accuracy": accuracies[column],
                "influence": None if influence is None else influence[column],
                "wrong": wrong.get(column),
            }
            | _provenance(program)
            | _outcomes(sources.runs_of(column))
        )
    return programs


def _provenance(program: Program | None) -> Section:
    """The LLM response that a program is from, and the id of the program that its file was edited from."""
    if program is None:
        return {"provenance": None, "parent_id": None}
    return {"provenance": to_jsonable(program.provenance), "parent_id": parent_id(program)}


def _outcomes(runs: Sequence[ProgramRun]) -> Section:
    """One program's errors over all splits, the first message of each kind, whether its votes differ, its CPU time."""
    errors: Counter[str] = Counter()
    messages: dict[str, str] = {}
    for run in runs:
        errors.update({o.value: n for o, n in run.outcomes.items() if n and o.value not in ("vote", "abstain")})
        messages = to_jsonable(run.messages) | messages
    nondeterministic = any(run.nondeterministic for run in runs)
    seconds = [run.cpu_seconds for run in runs if run.cpu_seconds is not None]
    return {
        "errors": dict(errors),
        "error_messages": messages,
        "nondeterministic": nondeterministic,
        "cpu_seconds": sum(seconds) if seconds else None,
    }
