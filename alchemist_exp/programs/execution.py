"""Runs accepted programs on every split and collects their votes, one column per program.

Votes are cached by program, texts and sandbox limits, so another label model or seed executes nothing. A program that
did not run to its end on every split is rejected whole, because a half-filled column looks like abstaining. A program
without a single vote on train is rejected too: it would only count towards a label model's minimum.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from alchemist_exp.context import RunContext
from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.label_sets import SetMatrix
from alchemist_exp.core.locks import locked
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, Split
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.programs.cached_votes import read_run, write_run
from alchemist_exp.programs.static_checks import CheckFailure
from alchemist_exp.programs.types import Program, Rejected, RejectionStage, Votes, reject
from alchemist_exp.sandbox.base import Outcome, ProgramRun, ProgramStatus, Sandbox
from alchemist_exp.sandbox.clock import ProgramClock
from alchemist_exp.sandbox.inputs import INPUTS, Inputs


@dataclass(frozen=True, kw_only=True, eq=False)
class ExecutionResult:
    """The programs that ran to their end, and their votes.

    Attributes:
        programs: The programs that ran to their end on every split.
        rejected: The other programs, with the reason.
        matrices: The votes of `programs` on each split, one column per program.
        runs: By source, how each program ran on each split; rejected programs are among them.

    """

    programs: tuple[Program, ...]
    rejected: tuple[Rejected, ...]
    matrices: Mapping[Split, LabelMatrix]
    runs: Mapping[str, Mapping[Split, ProgramRun]]


def execute(context: RunContext, programs: Sequence[Program]) -> ExecutionResult:
    """Run programs on every split of the dataset.

    Args:
        context: What the stages of the run share.
        programs: The accepted programs.

    Returns:
        The votes, and the programs that did not run to their end.

    Raises:
        SandboxError: The sandbox cannot run programs on this machine.

    """
    data = context.data
    total = sum(len(data.texts(split)) for split in data.splits) * len(programs)
    with context.progress.stage("votes", f"running {len(programs)} programs", total) as advance:
        columns = {
            split: cached_runs(
                programs,
                data.texts(split),
                data.texts_key(split),
                kind=data.kind,
                n_classes=context.n_classes,
                multi_label=data.task.multi_label,
                sandbox=context.sandbox,
                clock=context.clock,
                cache=context.cache,
                on_progress=advance,
            )
            for split in data.splits
        }
    runs = {p.source: {split: columns[split][i] for split in data.splits} for i, p in enumerate(programs)}
    failures: dict[str, CheckFailure | None] = {}
    for source, by_split in runs.items():
        reasons = (failure_of_run(run, split) for split, run in by_split.items())
        failures[source] = next(filter(None, reasons), None) or failure_of_votes(by_split[Split.TRAIN])
    finished = tuple(program for program in programs if failures[program.source] is None)
    matrices = {
        split: vote_matrix(
            [runs[program.source][split].votes for program in finished],
            len(data.texts(split)),
            context.n_classes,
            multi_label=data.task.multi_label,
        )
        for split in data.splits
    }
    rejected = tuple(reject(p, *failure) for p in programs if (failure := failures[p.source]))
    return ExecutionResult(programs=finished, rejected=rejected, matrices=matrices, runs=runs)


def vote_matrix(columns: Sequence[Votes | None], n_rows: int, n_classes: int, *, multi_label: bool) -> LabelMatrix:
    """Join the votes of programs.

    Args:
        columns: For each program, int8 array of shape (n_rows,), or int64 array of masks with `multi_label`; None for a
            program that abstains on every row.
        n_rows: The number of rows.
        n_classes: The number of classes.
        multi_label: Whether several classes may hold for a row.

    Returns:
        The votes, one column per program.

    Example:
        >>> first = np.array([1, 0], dtype=np.int8)
        >>> vote_matrix([first, None], 2, 2, multi_label=False).votes.tolist()
        [[1, -1], [0, -1]]
        >>> type(vote_matrix([first], 2, 2, multi_label=True)).__name__
        'SetMatrix'

    """
    votes = np.full((n_rows, len(columns)), ABSTAIN, dtype=np.int64 if multi_label else np.int8)
    for column, of_program in enumerate(columns):
        if of_program is not None:
            votes[:, column] = of_program
    return (SetMatrix if multi_label else LabelMatrix)(votes=votes, n_classes=n_classes)


def sandbox_execute(sandbox: Sandbox, *, multi_label: bool) -> Callable[..., list[ProgramRun]]:
    """Return the function of a sandbox that runs programs for one class, or several classes, per row.

    Args:
        sandbox: The sandbox.
        multi_label: Whether a program returns a list of classes.

    Returns:
        `Sandbox.execute`, without its argument `multi_label`.

    """
    # The argument is passed only where it is needed: the sandbox of a plugin may not have it.
    return partial(sandbox.execute, multi_label=True) if multi_label else sandbox.execute


def run_on_split(
    context: RunContext, programs: Sequence[Program], split: Split, description: str, *, stage: str = "votes"
) -> list[ProgramRun]:
    """Run programs on one split, as a stage with progress.

    Args:
        context: What the stages of the run share.
        programs: The programs.
        split: The split.
        description: What the progress display says.
        stage: The name under which the seconds are recorded.

    Returns:
        One run per program.

    """
    texts = context.data.texts(split)
    return run_on_texts(context, programs, texts, context.data.texts_key(split), description, stage=stage)


def run_on_texts(
    context: RunContext,
    programs: Sequence[Program],
    texts: Sequence[str],
    texts_key: str,
    description: str,
    *,
    stage: str,
) -> list[ProgramRun]:
    """Run programs on any rows of the dataset's kind, as a stage with progress.

    Args:
        context: What the stages of the run share.
        programs: The programs.
        texts: The rows.
        texts_key: The fingerprint of `texts`.
        description: What the progress display says.
        stage: The name under which the seconds are recorded.

    Returns:
        One run per program.

    """
    with context.progress.stage(stage, description, len(texts) * len(programs)) as advance:
        return cached_runs(
            programs,
            texts,
            texts_key,
            kind=context.data.kind,
            n_classes=context.n_classes,
            multi_label=context.data.task.multi_label,
            sandbox=context.sandbox,
            clock=context.clock,
            cache=context.cache,
            on_progress=advance,
        )


def failure_of_run(run: ProgramRun, where: str) -> CheckFailure | None:
    """Return why a program cannot vote after a run.

    Args:
        run: The run.
        where: What it ran on, for the reason: a split or "probes".

    Returns:
        None when the program was loaded and ran to its end.

    """
    if run.status is ProgramStatus.OK:
        return None
    stage = RejectionStage.LOAD if run.status is ProgramStatus.LOAD_ERROR else RejectionStage.NOT_FINISHED
    return CheckFailure(stage, f"{run.status.replace('_', ' ')} on {where}: {run.detail}")


def failure_of_votes(run: ProgramRun) -> CheckFailure | None:
    """Return why a program's votes on train are useless: there is none.

    Args:
        run: The program's run on train.

    Returns:
        None when there is at least one vote.

    """
    if run.outcomes.get(Outcome.VOTE):
        return None
    counts = ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in run.outcomes.items() if n)
    first = next(iter(run.messages.values()), "")
    reason = f"no vote on any training row ({counts}{f'; {first}' if first else ''})"
    return CheckFailure(RejectionStage.NO_VOTE, reason)


def cached_runs(
    programs: Sequence[Program],
    texts: Sequence[str],
    texts_key: str,
    *,
    kind: RowKind,
    n_classes: int,
    sandbox: Sandbox,
    clock: ProgramClock,
    cache: ArtifactCache,
    on_progress: Callable[[int], None],
    multi_label: bool = False,
) -> list[ProgramRun]:
    """Run programs on rows; runs that are in the cache are not repeated.

    Args:
        programs: The programs.
        texts: The rows.
        texts_key: The fingerprint of `texts`.
        kind: The rows' kind.
        n_classes: The number of classes; valid votes are 0 to n_classes - 1 and -1 for abstaining.
        sandbox: Runs the programs.
        clock: How long each program has run on other rows; these runs are added.
        cache: Holds the runs of earlier jobs.
        on_progress: Is called with the number of further votes that are done.
        multi_label: Whether a program returns a list of classes.

    Returns:
        One run per program.

    Raises:
        SandboxError: The sandbox cannot run programs on this machine.

    """
    inputs = INPUTS[kind.name](kind.program_input(texts))
    sandbox_key = sandbox.key()
    if isinstance(inputs, Inputs) and inputs.modules:
        sandbox_key |= sandbox.cache_key(type(inputs))
    several = {"multi_label": True} if multi_label else {}
    common = {"texts": texts_key, "n_classes": n_classes, "sandbox": sandbox_key, **several}
    keys = [common | {"program": program.source} for program in programs]
    # One job executes; another that wants the same votes waits and then finds them in the cache.
    with locked(cache.root / "locks" / f"executing-{key_of('executing', common)}.lock"):
        runs = [read_run(path) if (path := cache.get("votes", key)) else None for key in keys]
        on_progress(len(texts) * sum(run is not None for run in runs))
        missing = [i for i, run in enumerate(runs) if run is None]
        if missing:
            sources = [programs[i].source for i in missing]
            used_wall_s = [clock.used_s(source, besides=texts_key) for source in sources]
            execute_all = sandbox_execute(sandbox, multi_label=multi_label)
            executed = execute_all(sources, inputs, n_classes, used_wall_s=used_wall_s, on_progress=on_progress)
            for i, run in zip(missing, executed, strict=True):
                runs[i] = run
                # A stall or a crash may not happen on another machine, so its votes are not kept.
                if run.repeatable:
                    cache.get_or_create("votes", keys[i], partial(write_run, run))
    finished = [run for run in runs if run is not None]
    clock.add([program.source for program in programs], texts_key, finished)
    return finished
