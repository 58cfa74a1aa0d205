"""Hostile programs on scores and images: the same attacks as on texts, and those that numpy makes possible."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.base import Outcome, ProgramStatus, Sandbox
from alchemist_exp.sandbox.inputs import ImageInputs, Inputs, ScoreInputs

HOSTILE = Path(__file__).parent / "hostile"
NAMES = (
    "connect",
    "delete_file",
    "exec",
    "executable_memory",
    "forge_report",
    "fork",
    "kill_parent",
    "libc_system",
    "memory_at_once",
    "message_escape_codes",
    "os_exit",
    "patch_interpreter",
    "posix_spawn",
)
ROWS, ATTACKED = 40, 20
ON_TEXT = """
_on_text = label_function

def label_function(row):
    return _on_text("ATTACK 100" if {first} == 200 else "text 7")
"""
IMAGES = [np.full((4, 4, 3), 200 if row == ATTACKED else row, np.uint8) for row in range(ROWS)]
INPUTS: dict[str, tuple[Inputs, str, str]] = {
    "scores": (
        ScoreInputs(np.array([[200.0 if row == ATTACKED else row, 0.5] for row in range(ROWS)])),
        "row[0]",
        "def label_function(scores):\n    return int(scores[0]) % 2\n",
    ),
    "images": (
        ImageInputs(IMAGES),
        "int(row[0, 0, 0])",
        "def label_function(image):\n    return int(image.max()) % 2\n",
    ),
}
HONEST_VOTES = [0 if row == ATTACKED else row % 2 for row in range(ROWS)]

ON_NUMPY = {
    "fromfile": "np.fromfile('SCRATCH/victim', dtype=np.uint8)",
    "memmap": "np.memmap('SCRATCH/victim', mode='r+')",
    "load": "np.load('SCRATCH/victim', allow_pickle=True)",
    "save": "np.save('SCRATCH/new.npy', image)",
    "tofile": "image.tofile('SCRATCH/new')",
    "huge": "np.ones((200_000, 200_000))",
    "past_the_end": "np.lib.stride_tricks.as_strided(image, shape=(1 << 40,))[1 << 30]",
    "ctypes": "np.ctypeslib.ctypes.CDLL(None).system(b'touch SCRATCH/new')",
    "never_ends": "[None for _ in iter(lambda: np.zeros(3).sum(), 1)]",
}


@pytest.mark.parametrize("kind", INPUTS)
def test_attacks_on_texts_do_no_more_on_other_rows(
    kind: str, make_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    inputs, first, honest = INPUTS[kind]
    (tmp_path / "victim").write_text("untouched")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        values = {"SCRATCH": str(tmp_path), "PORT": str(server.getsockname()[1])}
        sources = []
        for name in NAMES:
            source = re.sub("SCRATCH|PORT", lambda match: values[match[0]], (HOSTILE / f"{name}.py").read_text())
            sources += [source + ON_TEXT.format(first=first), honest]
        runs = make_sandbox(call_cpu_s=0.1, memory_mb=512).execute(sources, inputs, 3)
        with pytest.raises(TimeoutError):
            server.accept()
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    assert (tmp_path / "victim").read_text() == "untouched"
    for name, attack, other in zip(NAMES, runs[::2], runs[1::2], strict=True):
        assert (other.status, other.votes.tolist()) == (ProgramStatus.OK, HONEST_VOTES), name
        assert all(message.isprintable() for message in (*attack.messages.values(), attack.detail)), name
        if attack.status in (ProgramStatus.VIOLATION, ProgramStatus.INVALID_OUTPUT):
            assert (attack.votes == ABSTAIN).all(), name


def test_numpy_opens_no_way_out(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"\x80\x04untouched")
    inputs, _, honest = INPUTS["images"]
    sources = []
    for attack in ON_NUMPY.values():
        body = f"if image[0, 0, 0] == 200:\n        {attack.replace('SCRATCH', str(tmp_path))}\n    return 1"
        sources += [f"import numpy as np\n\ndef label_function(image):\n    {body}\n", honest]
    runs = make_sandbox(call_cpu_s=0.1, memory_mb=512).execute(sources, inputs, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    assert (tmp_path / "victim").read_bytes() == b"\x80\x04untouched"
    for name, run, other in zip(ON_NUMPY, runs[::2], runs[1::2], strict=True):
        assert (other.status, other.votes.tolist()) == (ProgramStatus.OK, HONEST_VOTES), name
        assert run.votes[ATTACKED] == ABSTAIN, name
        assert run.outcomes.get(Outcome.VOTE, 0) in (0, ROWS - 1), name
