"""Votes of programs over splits: rejection after execution, and the cache of columns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.progress import NoProgress, Progress, StageProgress
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.programs.execution import ExecutionResult, execute
from alchemist_exp.programs.types import Program
from alchemist_exp.sandbox.base import Sandbox
from tests.support.contexts import run_context, text_data

TEXTS = {"train": ["win", "hello", "win win", ""], "test": ["hello", "win"]}
GOOD = Program(source="def label_function(t): return 1 if 'win' in t else -1", origin="good")
BAD = Program(source="import absent_module\ndef label_function(t): return 1", origin="bad")
FAULTY = Program(source="def label_function(t): return 1 // len(t)", origin="faulty")


@pytest.fixture
def data() -> TextData:
    return text_data(TEXTS)


@pytest.fixture
def sandbox(composed) -> Sandbox:
    return config.build(composed()).sandbox


@pytest.fixture
def run(composed, data: TextData, tmp_path: Path):
    """Executes programs on the data, in this sandbox when one is given."""
    experiment = config.build(composed())

    def execute_in(programs, sandbox=None, progress: Progress | None = None) -> ExecutionResult:
        context = run_context(experiment, data, tmp_path)
        context = replace(
            context,
            sandbox=sandbox or context.sandbox,
            progress=StageProgress(progress) if progress else context.progress,
        )
        return execute(context, programs)

    return execute_in


class Counted:
    """A sandbox that counts what it is asked to execute."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.executed = sandbox, 0

    def execute(self, sources, texts, n_classes, **options):
        self.executed += len(sources)
        return self.sandbox.execute(sources, texts, n_classes, **options)

    def key(self) -> dict[str, object]:
        return self.sandbox.key()


def test_votes_faults_and_rejections(run) -> None:
    done = run([GOOD, BAD, FAULTY])
    assert done.programs == (GOOD, FAULTY)
    assert done.matrices[Split.TRAIN].votes[:, 0].tolist() == [1, -1, 1, -1]
    assert done.matrices[Split.TEST].votes[:, 0].tolist() == [-1, 1]
    assert done.runs[FAULTY.source][Split.TRAIN].outcomes["exception"] == 1
    (rejected,) = done.rejected
    assert (rejected.origin, rejected.id) == ("bad", BAD.id)
    assert "load error" in rejected.reason
    assert "absent_module" in rejected.reason


def test_programs_that_share_an_id_keep_their_own_votes(run) -> None:
    zero = Program(source="def label_function(t):\n    return 0\n#155e473", origin="zero")
    one = Program(source="def label_function(t):\n    return 1\n#c76723", origin="one")
    assert zero.id == one.id
    votes = run([zero, one]).matrices[Split.TEST].votes
    assert votes.tolist() == [[0, 1], [0, 1]]


def test_columns_are_kept_and_each_program_runs_once(run, sandbox: Sandbox) -> None:
    counted = Counted(sandbox)
    first = run([GOOD, BAD], counted)
    assert counted.executed == 4
    again = run([FAULTY, GOOD, BAD], counted)
    assert counted.executed == 4 + 2 + 2, "a load error is tried anew"
    assert np.array_equal(first.matrices[Split.TRAIN].votes[:, 0], again.matrices[Split.TRAIN].votes[:, 1])
    assert again.rejected == first.rejected
    assert again.runs[GOOD.source][Split.TRAIN].outcomes == first.runs[GOOD.source][Split.TRAIN].outcomes


SILENT = Program(source="def label_function(t): return 'spam'", origin="silent")


def test_a_program_without_a_vote_on_train_does_not_count(run) -> None:
    done = run([GOOD, SILENT])
    assert done.programs == (GOOD,)
    assert "no vote on any training row (4 bad type; row 0: the vote is a str" in done.rejected[0].reason


def test_what_may_be_the_machines_fault_is_not_kept(run, sandbox: Sandbox) -> None:
    class Unlucky(Counted):
        def execute(self, sources, texts, n_classes, **options):
            runs = super().execute(sources, texts, n_classes, **options)
            return [replace(run, repeatable=False) for run in runs]

    unlucky = Unlucky(sandbox)
    for _ in range(2):
        run([GOOD], unlucky)
    assert unlucky.executed == 4


def test_the_wall_limit_holds_for_all_splits_together(run, sandbox: Sandbox) -> None:
    used = []

    class Slow(Counted):
        def execute(self, sources, texts, n_classes, **options):
            used.append(options["used_wall_s"])
            runs = super().execute(sources, texts, n_classes, **options)
            return [replace(run, wall_seconds=float(len(texts))) for run in runs]

    run([GOOD], Slow(sandbox))
    assert used == [[0], [4.0]]
    run([GOOD, FAULTY], Slow(sandbox))  # the votes of the first come from the cache, with their seconds
    assert used[2:] == [[0], [4.0]]


def test_a_nondeterministic_program_stays_flagged(run) -> None:
    counter = Program(
        source="n = 0\ndef label_function(t):\n    global n\n    n += 1\n    return int(n == 1)\n", origin="counter"
    )
    for _ in range(2):
        runs = run([GOOD, counter]).runs
        assert [runs[p.source][Split.TRAIN].nondeterministic for p in (GOOD, counter)] == [False, True]


class Steps(NoProgress):
    def __init__(self) -> None:
        self.total, self.done = 0, 0

    def start(self, what: str, total: int | None) -> None:
        self.total = total or 0

    def advance(self, steps: int) -> None:
        self.done += steps


def test_progress_counts_every_row_of_every_program(run) -> None:
    for _ in range(2):
        seen = Steps()
        run([GOOD, FAULTY], progress=seen)
        assert seen.done == seen.total == 2 * 6


def test_no_programs_give_matrices_without_columns(run) -> None:
    done = run([])
    assert done.matrices[Split.TRAIN].votes.shape == (4, 0)


def test_a_broken_entry_is_named(run, tmp_path) -> None:
    run([GOOD])
    for entry in (tmp_path / "cache" / "votes").iterdir():
        (entry / "votes.npy").write_bytes(b"")
    with pytest.raises(StoreError, match="delete that directory and run again"):
        run([GOOD])
