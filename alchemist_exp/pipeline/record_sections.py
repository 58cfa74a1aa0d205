"""Turns what the stages made into the sections of the record."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.types import FloatArray, IntArray, Split
from alchemist_exp.data.base import Dataset, TextData
from alchemist_exp.evaluation.metrics import Scores, program_scores, score, summarize
from alchemist_exp.label_models.diagnostics import diagnose
from alchemist_exp.methods.base import LabelingResult, LabelSources
from alchemist_exp.programs.header import made_from
from alchemist_exp.programs.types import Program, Rejected, RejectionStage
from alchemist_exp.results.record import Section
from alchemist_exp.sandbox.base import ProgramRun


def data_section(dataset: Dataset, data: TextData) -> Section:
    """Name, fingerprint, rows, classes and licence; which gold was used is added as stages use it."""
    return {
        "name": dataset.name,
        "fingerprint": data.fingerprint,
        "rows": {split: len(data.texts(split)) for split in data.splits},
        "classes": list(dataset.classes),
        "metric": dataset.metric.value,
        "positive_class": dataset.positive_class,
        "license": dataset.license,
        "most_frequent_class": _most_frequent(data),
        "gold_used": [],
    }


def _most_frequent(data: TextData) -> dict[str, float]:
    """The accuracy on valid and test of always naming their most frequent class: what any model should beat."""
    golds = {split: data.gold(split) for split in (Split.VALID, Split.TEST)}
    return {
        split.value: float(np.bincount(gold).max() / len(gold)) for split, gold in golds.items() if gold is not None
    }


def programs_section(voters: LabelSources, data: TextData, sandbox: str) -> Section:
    """What was asked for, accepted and rejected; per program coverage and, where gold exists, accuracy."""
    gold = data.gold(Split.TRAIN)
    train = voters.matrices[Split.TRAIN]
    scores = program_scores(train, gold)
    programs = [
        {
            "id": id_,
            "origin": origin,
            "coverage": s.coverage,
            "accuracy": s.accuracy,
            "provenance": None,
            "parent_id": None,
        }
        for id_, origin, s in zip(voters.ids, voters.origins, scores, strict=True)
    ]
    for column, program in enumerate(programs):
        program |= _outcomes(voters.runs_of(column))
        if voters.programs:
            program |= _provenance(voters.programs[column])
    total: Counter[str] = Counter()
    for runs in voters.runs.values():
        for run in runs.values():
            total.update({outcome.value: count for outcome, count in run.outcomes.items()})
    return {
        "source": voters.source,
        "sandbox": sandbox if voters.runs else None,
        "requested": voters.requested,
        "candidates": voters.written,
        "accepted": len(voters.ids) + len(voters.spare),
        "selected": len(voters.ids),
        "rejected": [_rejection(rejected) for rejected in voters.rejected],
        "rejected_by_stage": _by_stage(voters.rejected),
        "not_selected": [{"id": program.id, "origin": program.origin} for program in voters.spare],
        "supplements": [
            {
                "strategy": supplement.strategy,
                "text": supplement.text,
                "text_origin": supplement.written_by.value,
                "sources": list(supplement.sources),
                "gold_used": list(supplement.gold_used),
            }
            for supplement in voters.supplied
        ],
        "outcomes": dict(total),
        "row_outcomes": dict(voters.answers),
        "list": programs,
    }


def _rejection(rejected: Rejected) -> Section:
    return {
        "id": rejected.id,
        "origin": rejected.origin,
        "stage": rejected.stage.value,
        "reason": rejected.reason,
        **({"provenance": None, "parent_id": None} if rejected.program is None else _provenance(rejected.program)),
    }


def _provenance(program: Program) -> Section:
    """Return which LLM response a program came from, and the id of the program that its file was edited from."""
    written = program.written
    return {
        "provenance": None
        if written is None
        else {
            "model": written.model,
            "prompt_key": written.prompt,
            "response_key": written.reply,
            "strategy": written.strategy,
            "sample": written.sample,
            "version": written.version,
            "list_price_usd": written.usd,
        },
        "parent_id": made_from(program),
    }


def _by_stage(rejected: Sequence[Rejected]) -> dict[str, int]:
    """Counts in the funnel's order."""
    counts = Counter(r.stage for r in rejected)
    return {stage.value: counts[stage] for stage in RejectionStage if counts[stage]}


def _outcomes(runs: Sequence[ProgramRun]) -> Section:
    """Return one program's errors over all splits, the first message of each kind, and whether its votes differ."""
    errors: Counter[str] = Counter()
    messages: dict[str, str] = {}
    for run in runs:
        errors.update({o.value: n for o, n in run.outcomes.items() if n and o.value not in ("vote", "abstain")})
        messages = to_jsonable(run.messages) | messages
    nondeterministic = any(run.nondeterministic for run in runs)
    return {"errors": dict(errors), "error_messages": messages, "nondeterministic": nondeterministic}


def label_model_section(labeling: LabelingResult, data: TextData, positive: int | None) -> Section:
    """Coverage of every split; scores over covered rows where gold exists; what looks wrong with train's labels."""
    metrics = {}
    for split, labels in labeling.labels.items():
        gold = data.gold(split)
        if gold is not None:
            metrics[split.value] = _scores(
                score(gold, labels.hard(), n_classes=labels.probs.shape[1], positive=positive)
            )
    train = labeling.labels[Split.TRAIN].hard()
    return {
        "name": labeling.labeled_by,
        "class_balance": None if labeling.balance is None else list(labeling.balance),
        "labels": {name: int(np.count_nonzero(train == c)) for c, name in enumerate(data.task.classes)},
        "coverage": {split.value: float(labels.covered.mean()) for split, labels in labeling.labels.items()},
        "metrics": metrics,
        "warnings": diagnose(
            labeling.voters.matrices[Split.TRAIN],
            labeling.labels[Split.TRAIN],
            labeled_by=labeling.labeled_by,
            program_names=labeling.voters.origins,
            class_names=data.task.classes,
            labeled=labeling.labeled,
        ),
    }


def _scores(scores: Scores | None) -> Section | None:
    return None if scores is None else to_jsonable(scores)


def end_model_section(
    name: str, seeds: list[int], probs: Mapping[Split, FloatArray], data: TextData, positive: int | None
) -> Section:
    """Mean and standard deviation over seeds of every score, on valid and test where they have gold.

    probs: float32 (seeds, n, k) for each split.
    """
    metrics: dict[str, Any] = {}
    for split in (Split.VALID, Split.TEST):
        gold = data.gold(split)
        if gold is not None:
            per_seed = [_end_score(gold, p, positive) for p in probs[split]]
            metrics[split.value] = to_jsonable(summarize(per_seed))
    return {"name": name, "seeds": seeds, "metrics": metrics}


def _end_score(gold: IntArray, probs: FloatArray, positive: int | None) -> Scores:
    scores = score(gold, probs.argmax(axis=1).astype(np.int64), n_classes=probs.shape[1], positive=positive)
    if scores is None:
        raise ValueError("a split without rows was scored")
    return scores
