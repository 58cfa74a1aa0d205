"""Runs accepted programs over every split and gathers their votes, a column per program.

Columns are kept by program, texts and limits, so another label model or seed executes nothing. A program that did not
run to its end on every split is rejected whole: a half-filled column would pass for an honest one. So is one without a
single vote on train: it would only count towards a label model's minimum.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alchemist_exp.core.artifact_cache import ArtifactCache, read_array
from alchemist_exp.core.atomic_io import read_json
from alchemist_exp.core.hashing import key_of, to_jsonable
from alchemist_exp.core.locks import locked
from alchemist_exp.core.types import LabelMatrix, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.programs.static_checks import CheckFailure
from alchemist_exp.programs.types import Program, Rejected, RejectionStage, reject
from alchemist_exp.sandbox.base import Outcome, ProgramRun, ProgramStatus, Sandbox


@dataclass(frozen=True, kw_only=True, eq=False)
class ExecutionResult:
    """The programs that ran to their end, their votes, and what happened on the way.

    runs: by source, for every program that was executed, rejected ones too, what happened on each split.
    """

    programs: tuple[Program, ...]
    rejected: tuple[Rejected, ...]
    matrices: Mapping[Split, LabelMatrix]
    runs: Mapping[str, Mapping[Split, ProgramRun]]


def execute(
    programs: Sequence[Program],
    data: TextData,
    sandbox: Sandbox,
    store: ArtifactCache,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> ExecutionResult:
    """The votes of `programs` on every split of `data`. `on_progress` is told of each batch of votes."""
    n_classes, report = len(data.task.classes), on_progress or (lambda _: None)
    columns = {
        split: votes_of(programs, data.texts(split), data.texts_key(split), n_classes, sandbox, store, report)
        for split in data.splits
    }
    runs = {p.source: {split: columns[split][i] for split in data.splits} for i, p in enumerate(programs)}
    faults = {source: _fault(of_splits) for source, of_splits in runs.items()}
    passed = tuple(p for p in programs if not faults[p.source])
    matrices = {
        split: LabelMatrix(
            votes=_side_by_side([runs[p.source][split] for p in passed], len(data.texts(split))),
            n_classes=n_classes,
        )
        for split in data.splits
    }
    rejected = tuple(reject(p, *fault) for p in programs if (fault := faults[p.source]))
    return ExecutionResult(programs=passed, rejected=rejected, matrices=matrices, runs=runs)


def _side_by_side(runs: Sequence[ProgramRun], rows: int) -> np.ndarray[Any, np.dtype[np.int8]]:
    if not runs:
        return np.empty((rows, 0), dtype=np.int8)
    return np.stack([run.votes for run in runs], axis=1)


def failure_of_run(run: ProgramRun, where: str) -> CheckFailure | None:
    """Why a program cannot count: it was not loaded, or did not run to its end."""
    if run.status is ProgramStatus.OK:
        return None
    stage = RejectionStage.LOAD if run.status is ProgramStatus.LOAD_ERROR else RejectionStage.NOT_FINISHED
    return CheckFailure(stage, f"{run.status.replace('_', ' ')} on {where}: {run.detail}")


def _fault(runs: Mapping[Split, ProgramRun]) -> CheckFailure | None:
    """As `fault_of_run` on every split, or that it has no vote to weigh."""
    faults = (failure_of_run(run, split) for split, run in runs.items())
    return next((fault for fault in faults if fault), None) or failure_of_votes(runs[Split.TRAIN])


def failure_of_votes(run: ProgramRun) -> CheckFailure | None:
    """Whether there is a vote at all."""
    if run.outcomes.get(Outcome.VOTE):
        return None
    faults = ", ".join(f"{n} {o.replace('_', ' ')}" for o, n in run.outcomes.items() if n)
    first = next(iter(run.messages.values()), "")
    return CheckFailure(
        RejectionStage.NO_VOTE, f"no vote on any training row ({faults}{f'; {first}' if first else ''})"
    )


def votes_of(
    programs: Sequence[Program],
    texts: Sequence[str],
    texts_key: str,
    n_classes: int,
    sandbox: Sandbox,
    store: ArtifactCache,
    on_progress: Callable[[int], None],
) -> list[ProgramRun]:
    """The runs of all programs on `texts`, from the store where they are kept."""
    setting = {"texts": texts_key, "n_classes": n_classes, "sandbox": sandbox.key()}
    parts = [setting | {"program": program.source} for program in programs]
    # One job executes, another that wants the same votes waits for them.
    with locked(store.root / "locks" / f"executing-{key_of('executing', setting)}.lock"):
        runs = [_read(path) if (path := store.get("votes", part)) else None for part in parts]
        on_progress(len(texts) * sum(run is not None for run in runs))
        missing = [i for i, run in enumerate(runs) if run is None]
        if missing:
            sources = [programs[i].source for i in missing]
            made = sandbox.execute(sources, texts, n_classes, on_progress=on_progress)
            for i, run in zip(missing, made, strict=True):
                runs[i] = run
                if run.repeatable:
                    store.get_or_create("votes", parts[i], partial(_write, run))
    return [run for run in runs if run is not None]


def _write(run: ProgramRun, folder: Path) -> None:
    np.save(folder / "votes.npy", run.votes)
    rest = {
        "status": run.status,
        "outcomes": to_jsonable(run.outcomes),
        "messages": to_jsonable(run.messages),
        "detail": run.detail,
        "restarts": run.restarts,
        "cpu_seconds": run.cpu_seconds,
        "nondeterministic": run.nondeterministic,
    }
    (folder / "run.json").write_text(json.dumps(rest, indent=2), encoding="utf-8")


def _read(folder: Path) -> ProgramRun:
    rest = read_json(folder / "run.json", what="the cached votes'")
    return ProgramRun(
        votes=read_array(folder / "votes.npy"),
        status=ProgramStatus(rest["status"]),
        outcomes={Outcome(k): v for k, v in rest["outcomes"].items()},
        messages={Outcome(k): v for k, v in rest["messages"].items()},
        detail=rest["detail"],
        restarts=rest["restarts"],
        cpu_seconds=rest["cpu_seconds"],
        nondeterministic=rest["nondeterministic"],
    )
