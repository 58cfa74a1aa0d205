"""Attacks every mode with one list of hostile programs. Each file in hostile/ is one.

The first lines of a file state what must happen:
# status: of the program (ok)
# row: outcome of the row that starts with ATTACK; "a or b" where it depends on the interpreter's version
# outcomes: of all rows, where more than one row is affected
# says: a part of `detail`; "says row": a part of that row's message
# others: "changed" when the program may change the votes of its other rows
# ... in none: the same under mode none. "gap in none": what that mode does not prevent, so it is not run there
# machine: the only processor it is for
"""

import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.base import Outcome, ProgramRun, ProgramStatus, Sandbox

HOSTILE = sorted((Path(__file__).parent / "hostile").glob("*.py"))
ROWS, ATTACKED = 200, 100
TEXTS = [f"ATTACK {row}" if row == ATTACKED else f"text {row}" for row in range(ROWS)]
HONEST = (
    "def label_function(text):\n    return 1 if '7' in text else 0\n",
    "import re\nN = re.compile(r'\\d+')\ndef label_function(text):\n    return int(N.search(text)[0]) % 4 - 1\n",
)
DEFAULTS = {"status": "ok", "others": "same", "row": "", "outcomes": "", "says": "", "says row": ""}
# About twenty programs use up a limit. Smaller limits cost less CPU time. The stall limit is wall time, so its ratio to
# the others says how busy the machine may be before a row that should time out counts as a stall.
LIMITS = {"call_cpu_s": 0.06, "init_cpu_s": 0.15, "stall_s": 0.5}


@cache
def _expected(path: Path, mode: str) -> dict[str, str]:
    keys = dict(re.findall(r"^# ([a-z ]+): (.*)$", path.read_text(), re.M))
    base = DEFAULTS | {key: value for key, value in keys.items() if not key.endswith(" in none")}
    in_none = {key.removesuffix(" in none"): value for key, value in keys.items() if key.endswith(" in none")}
    return base | (in_none if mode == "none" else {})


def _reason_to_skip(path: Path, mode: str) -> str:
    expected = _expected(path, mode)
    if expected.get("machine", os.uname().machine) != os.uname().machine:
        return f"for {expected['machine']} only"
    return f"gap of mode none: {expected['gap']}" if "gap" in expected else ""


@dataclass
class AttackResults:
    """Results of all hostile programs of a mode in one call, of honest ones between them, and what the attacks left."""

    runs: dict[str, ProgramRun]
    honest: list[tuple[str, ProgramRun]]
    directories: dict[str, Path]
    connections: int


@pytest.fixture(scope="module")
def attack(
    mode: str, make_sandbox: Callable[..., Sandbox], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AttackResults]:
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as server:
        patch.setenv("OPENAI_API_KEY", "secret")
        server.settimeout(0.05)
        # An honest program after each hostile one; after five if each needs an interpreter, which is slow to start.
        distance = 5 if mode == "spawn" else 1
        programs: list[tuple[str, str]] = []
        directories: dict[str, Path] = {}
        for path in HOSTILE:
            if _reason_to_skip(path, mode):
                continue
            directory = directories[path.stem] = tmp_path_factory.mktemp(path.stem)
            (directory / "victim").write_text("untouched")
            source = path.read_text().replace("SCRATCH", str(directory)).replace("PORT", str(server.getsockname()[1]))
            programs.append((path.stem, source))
            if len(directories) % distance == 0:
                programs.append(("", HONEST[len(directories) // distance % len(HONEST)]))
        results = make_sandbox(mode, **LIMITS).execute([source for _, source in programs], TEXTS, 3)
        finished = list(zip(programs, results, strict=True))
        connections = 0
        try:
            while True:
                server.accept()[0].close()
                connections += 1
        except TimeoutError:
            pass
        yield AttackResults(
            runs={name: run for (name, _), run in finished if name},
            honest=[(source, run) for (name, source), run in finished if not name],
            directories=directories,
            connections=connections,
        )


@cache
def _votes_in_process(source: str) -> list[int]:
    module: dict[str, object] = {}
    exec(source, module)
    return [module["label_function"](text) for text in TEXTS]  # type: ignore[operator]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)
def test_hostile_program(path: Path, mode: str, attack: AttackResults) -> None:
    if reason := _reason_to_skip(path, mode):
        pytest.skip(reason)
    expected, run = _expected(path, mode), attack.runs[path.stem]

    assert [file.name for file in attack.directories[path.stem].iterdir()] == ["victim"]
    assert (attack.directories[path.stem] / "victim").read_text() == "untouched"

    assert run.status == expected["status"], run
    assert expected["says"] in run.detail
    assert bool(run.detail) == (run.status is not ProgramStatus.OK)
    assert run.outcomes in _allowed_outcomes(run.status, expected, run)
    if run.status is ProgramStatus.OK:
        outcome = _outcome_of_attacked_row(run)
        assert outcome in expected["row"].split(" or ")
        assert expected["says row"] in run.messages.get(Outcome(outcome), "")
    if run.status is ProgramStatus.OK and expected["others"] == "same":
        others = np.arange(ROWS) != ATTACKED
        assert (run.votes[others] == np.array(_votes_in_process(HONEST[0]))[others]).all()
    assert all(message.isprintable() and len(message) <= 300 for message in (*run.messages.values(), run.detail))


def _allowed_outcomes(status: ProgramStatus, expected: dict[str, str], run: ProgramRun) -> list[dict[str, int]]:
    without_votes = {
        ProgramStatus.VIOLATION: "violation",
        ProgramStatus.INVALID_OUTPUT: "invalid_output",
        ProgramStatus.LOAD_ERROR: "not_run",
    }
    if status in without_votes:
        assert (run.votes == ABSTAIN).all()
        return [{without_votes[status]: ROWS}]
    if expected["outcomes"]:
        return [{name: int(rows) for name, rows in (part.split() for part in expected["outcomes"].split(", "))}]
    if expected["others"] == "changed":
        return [run.outcomes]
    return [{"vote": ROWS} if row == "vote" else {"vote": ROWS - 1, row: 1} for row in expected["row"].split(" or ")]


def _outcome_of_attacked_row(run: ProgramRun) -> str:
    if run.votes[ATTACKED] != ABSTAIN:
        return "vote"
    return next(outcome for outcome in run.outcomes if outcome != "vote")


def test_honest_programs_next_to_hostile_ones_are_not_affected(attack: AttackResults) -> None:
    assert len(attack.honest) >= len(attack.runs) // 5
    for source, run in attack.honest:
        assert run.status is ProgramStatus.OK
        assert run.votes.tolist() == _votes_in_process(source)


def test_no_connection_was_made(attack: AttackResults) -> None:
    assert attack.connections == 0


def test_only_mode_none_has_gaps() -> None:
    assert not [path.stem for path in HOSTILE if "gap" in _expected(path, "seccomp")]
    gaps = {path.stem for path in HOSTILE if "gap" in _expected(path, "none")}
    assert {"delete_file", "fork", "kill_parent", "shell", "executable_memory"} <= gaps
    assert not gaps & {"read_file", "write_file", "connect", "infinite_loop", "memory_at_once", "read_environment"}
