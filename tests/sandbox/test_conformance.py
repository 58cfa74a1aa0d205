"""One list of programs that every mode must hold. Each file in hostile/ is one; its first lines say what must happen.

# status: of the program (ok)
# row: outcome of the row that starts with ATTACK; "a or b" where the interpreter's version decides
# outcomes: of all rows, where it is not one row's affair
# says: a part of `detail`; "says row": a part of that row's message
# others: "unlike" when the other rows' votes are the program's to spoil
# ... in none: the same under mode none. "gap in none": what that mode does not hold, so it is not run there
# machine: the only one it is for
"""

import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
DEFAULTS = {"status": "ok", "others": "alike", "row": "", "outcomes": "", "says": "", "says row": ""}


def _expected(path: Path, mode: str) -> dict[str, str]:
    keys = dict(re.findall(r"^# ([a-z ]+): (.*)$", path.read_text(), re.M))
    base = DEFAULTS | {key: value for key, value in keys.items() if not key.endswith(" in none")}
    here = {key.removesuffix(" in none"): value for key, value in keys.items() if key.endswith(" in none")}
    return base | (here if mode == "none" else {})


def _skipped(path: Path, mode: str) -> str:
    expected = _expected(path, mode)
    if expected.get("machine", os.uname().machine) != os.uname().machine:
        return f"for {expected['machine']} only"
    return f"gap of mode none: {expected['gap']}" if "gap" in expected else ""


@dataclass
class Siege:
    """All hostile programs of a mode in one call, honest ones between them, and the traces they left."""

    runs: dict[str, ProgramRun]
    honest: list[tuple[str, ProgramRun]]
    folders: dict[str, Path]
    connections: int


@pytest.fixture(scope="module")
def siege(mode: str, make_sandbox: Callable[..., Sandbox], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as server:
        patch.setenv("OPENAI_API_KEY", "secret")
        server.settimeout(0.05)
        # After each, or after a few where every program has an interpreter of its own: starting one takes long.
        apart = 5 if mode == "spawn" else 1
        programs: list[tuple[str, str]] = []
        folders: dict[str, Path] = {}
        for path in HOSTILE:
            if _skipped(path, mode):
                continue
            folder = folders[path.stem] = tmp_path_factory.mktemp(path.stem)
            (folder / "victim").write_text("untouched")
            source = path.read_text().replace("SCRATCH", str(folder)).replace("PORT", str(server.getsockname()[1]))
            programs.append((path.stem, source))
            if len(folders) % apart == 0:
                programs.append(("", HONEST[len(folders) // apart % len(HONEST)]))
        results = make_sandbox(mode).execute([source for _, source in programs], TEXTS, 3)
        ended = list(zip(programs, results, strict=True))
        connections = 0
        try:
            while True:
                server.accept()[0].close()
                connections += 1
        except TimeoutError:
            pass
        yield Siege(
            runs={name: run for (name, _), run in ended if name},
            honest=[(source, run) for (name, source), run in ended if not name],
            folders=folders,
            connections=connections,
        )


def _votes_in_process(source: str) -> list[int]:
    module: dict[str, object] = {}
    exec(source, module)
    return [module["label_function"](text) for text in TEXTS]  # type: ignore[operator]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)
def test_hostile_program(path: Path, mode: str, siege: Siege) -> None:
    if reason := _skipped(path, mode):
        pytest.skip(reason)
    expected, run = _expected(path, mode), siege.runs[path.stem]

    assert [file.name for file in siege.folders[path.stem].iterdir()] == ["victim"]
    assert (siege.folders[path.stem] / "victim").read_text() == "untouched"

    assert run.status == expected["status"], run
    assert expected["says"] in run.detail
    assert bool(run.detail) == (run.status is not ProgramStatus.OK)
    assert run.outcomes in _allowed_outcomes(run.status, expected, run)
    if run.status is ProgramStatus.OK:
        outcome = _row_outcome(run)
        assert outcome in expected["row"].split(" or ")
        assert expected["says row"] in run.messages.get(Outcome(outcome), "")
    if run.status is ProgramStatus.OK and expected["others"] == "alike":
        others = np.arange(ROWS) != ATTACKED
        assert (run.votes[others] == np.array(_votes_in_process(HONEST[0]))[others]).all()
    assert all(message.isprintable() and len(message) <= 300 for message in (*run.messages.values(), run.detail))


def _allowed_outcomes(status: ProgramStatus, expected: dict[str, str], run: ProgramRun) -> list[dict[str, int]]:
    void = {
        ProgramStatus.VIOLATION: "violation",
        ProgramStatus.INVALID_OUTPUT: "invalid_output",
        ProgramStatus.LOAD_ERROR: "not_run",
    }
    if status in void:
        assert (run.votes == ABSTAIN).all()
        return [{void[status]: ROWS}]
    if expected["outcomes"]:
        return [{name: int(rows) for name, rows in (part.split() for part in expected["outcomes"].split(", "))}]
    if expected["others"] == "unlike":
        return [run.outcomes]
    return [{"vote": ROWS} if row == "vote" else {"vote": ROWS - 1, row: 1} for row in expected["row"].split(" or ")]


def _row_outcome(run: ProgramRun) -> str:
    if run.votes[ATTACKED] != ABSTAIN:
        return "vote"
    return next(outcome for outcome in run.outcomes if outcome != "vote")


def test_honest_programs_beside_hostile_ones(siege: Siege) -> None:
    assert len(siege.honest) >= len(siege.runs) // 5
    for source, run in siege.honest:
        assert run.status is ProgramStatus.OK
        assert run.votes.tolist() == _votes_in_process(source)


def test_no_connection_was_made(siege: Siege) -> None:
    assert siege.connections == 0


def test_gaps_are_of_mode_none_alone() -> None:
    assert not [path.stem for path in HOSTILE if "gap" in _expected(path, "seccomp")]
    gaps = {path.stem for path in HOSTILE if "gap" in _expected(path, "none")}
    assert {"delete_file", "fork", "kill_parent", "shell", "executable_memory"} <= gaps
    assert not gaps & {"read_file", "write_file", "connect", "infinite_loop", "memory_at_once", "read_environment"}
