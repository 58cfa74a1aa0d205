"""Every command of docs/walk.md, run in its order."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.cli import main as console
from tests.support.commands import run_command
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("shared_stages")

PAGE = (REPOSITORY / "docs" / "walk.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Change to a directory with what the commands need of a checkout; forget its --config-dir afterwards."""
    for name in ("examples", "scripts"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    yield tmp_path
    config.register()


def test_each_command_works_and_prints_what_the_page_says(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keys: dict[str, str] = {}  # of the runs, by the word that the page has for each
    printed: list[str] = []

    def with_keys(text: str) -> str:
        return re.sub("FIRST|SECOND", lambda word: keys.get(word[0], word[0]), text)

    for block in BLOCKS:
        commands = block.replace("\\\n", "").splitlines()
        if read := re.fullmatch(r"\.venv/bin/alchemist (.*) < (\S+)\n", with_keys(block)):
            with Path(read[2]).open() as stdin:
                monkeypatch.setattr(sys, "stdin", stdin)
                assert run_command(console.main, monkeypatch, *read[1].split()) == 0
            commands = []
        elif not commands[0].startswith(".venv/bin/alchemist "):
            shell = with_keys(block).replace(".venv/bin/python", sys.executable)
            subprocess.run(["bash", "-euc", shell], check=True, timeout=120)
            commands = []
        for command in commands:
            _, *arguments = shlex.split(with_keys(command))
            if arguments[0] == "run":
                arguments += ["logger=none", "seed=s0", "feature_extractor=tfidf"]  # faster; same labels
            assert run_command(console.main, monkeypatch, *arguments) == 0
            found = {path.parent.name for path in Path("outputs/runs").glob("*/record.json")} - {*keys.values()}
            keys |= zip(("FIRST", "SECOND")[len(keys) :], found, strict=False)
        printed.append(capfd.readouterr().out)
    plan, first, look, _, second, *_ = printed
    assert "\n10 " in plan
    shown = re.findall(r"^(?:majority|general).*$", PAGE, re.MULTILINE)
    assert len(shown) == 6
    assert [line for line in shown if line.split() not in map(str.split, first.splitlines())] == []
    assert len(look.splitlines()) == 6
    assert '"money", "site", "bit.ly"' in second
    assert "label model, valid  0.917 to 0.950" in second
    assert "label model, test   0.950 to 0.950" in second
    assert len(Path("labels.csv").read_text(encoding="utf-8").splitlines()) > 560
    assert [line.split("\t")[0] for line in printed[-1].splitlines()] == ["spam", "ham", "spam", "ham"]


def test_the_description_of_the_dataset_on_the_page_is_the_file() -> None:
    file = REPOSITORY / "examples" / "comments" / "dataset" / "comments.yaml"
    assert f"```yaml\n{file.read_text(encoding='utf-8')}```" in PAGE
