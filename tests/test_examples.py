"""The scripts of examples/ run, and print what they promise."""

import runpy
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("shared_stages")

EXAMPLES = REPOSITORY / "examples"

PRINTED = {
    "label_texts.py": ["weak_label", "Win a free phone, click http://win.example now       spam"],
    "label_models.py": [
        "majority: accuracy 0.",
        "snorkel: accuracy 0.",
        "dawid_skene: accuracy 0.",
        "Near-duplicates",
    ],
    "compare_runs.py": ["majority is finished", "coverage  label model  end model", "\nmajority  ", "\ndawid_skene  "],
}


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_runs_and_uses_the_public_api_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    printed = capsys.readouterr().out
    for part in PRINTED[name]:
        assert part in printed
    source = (EXAMPLES / name).read_text()
    assert "import alchemist_exp\n" in source
    assert "from alchemist_exp" not in source
