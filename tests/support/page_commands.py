"""Runs the commands of a page of docs/ in their order, those of alchemist in this process."""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from alchemist_exp.cli import main as console
from tests.support.commands import run_command
from tests.support.paths import REPOSITORY

FASTER = ("logger=none", "seed=s0", "feature_extractor=tfidf")
"""Overrides of a run that leave its weak labels as they are."""


def page_text(name: str) -> str:
    """Return the text of a page."""
    return (REPOSITORY / "docs" / name).read_text(encoding="utf-8")


def run_page(
    name: str, runs: Sequence[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> list[str]:
    """Run the commands of a page in the current directory, which has what they need of a checkout.

    Args:
        name: The name of the page.
        runs: What the page writes for the keys of its runs, in the order in which they are made.
        monkeypatch: Replaces sys.argv and standard input.
        capfd: Collects what is printed.

    Returns:
        What each block of commands has printed.

    """
    keys: dict[str, str] = {}
    printed: list[str] = []
    for block in re.findall(r"^```bash\n(.*?)^```$", page_text(name), re.MULTILINE | re.DOTALL):
        # A program of Python in quotes has several lines.
        is_python = block.startswith(".venv/bin/python ")
        for line in [block] if is_python else block.replace("\\\n", "").splitlines():
            filled = line
            for word, key in keys.items():
                filled = filled.replace(word, key)
            _run(filled, monkeypatch)
            found = {path.parent.name for path in Path("outputs/runs").glob("*/record.json")} - {*keys.values()}
            keys |= zip(runs[len(keys) :], found, strict=False)
        printed.append(capfd.readouterr().out)
    return printed


def _run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not line.startswith(".venv/bin/alchemist "):
        shell = re.sub(r"^(\.venv/bin/python|python3)(?= )", sys.executable, line)
        subprocess.run(["bash", "-euc", shell], check=True, timeout=120)
        return
    command, _, read = line.partition(" < ")
    _, *arguments = shlex.split(command)
    arguments += FASTER if arguments[0] in ("run", "label") else ()
    if not read:
        assert run_command(console.main, monkeypatch, *arguments) == 0
        return
    with Path(read.strip()).open() as stdin, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        assert run_command(console.main, patch, *arguments) == 0
