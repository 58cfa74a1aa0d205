"""Every command of docs/walk.md and docs/tour.md, run in its order."""

import re
from pathlib import Path

import pytest

from alchemist_exp import config
from tests.support.page_commands import page_text, run_page
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("shared_stages")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Change to a directory with what the commands need of a checkout; forget its --config-dir afterwards."""
    for name in ("examples", "scripts"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    yield tmp_path
    config.register()


def test_each_command_of_the_walk_prints_what_the_page_says(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    printed = run_page("walk.md", ("FIRST", "SECOND"), monkeypatch, capfd)
    plan, first, look, _, second, *_ = printed
    assert "\n10 " in plan
    shown = re.findall(r"^(?:majority|general).*$", page_text("walk.md"), re.MULTILINE)
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
    assert f"```yaml\n{file.read_text(encoding='utf-8')}```" in page_text("walk.md")


def test_each_command_of_the_tour_prints_what_the_page_says(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    labeled, reported, explained, edited, exported = run_page("tour.md", ("RUN", "EDITED"), monkeypatch, capfd)
    page = page_text("tour.md")
    for printed, start in (
        (labeled, "labels by"),
        (labeled, "general_0"),
        (explained, "label model "),
        (edited, "Rows with another weak"),
        (edited, "train "),
        (exported, "spam\t"),
    ):
        expected = [line.split() for line in page.splitlines() if line.startswith(start)]
        assert expected
        assert [line for line in expected if line not in [shown.split() for shown in printed.splitlines()]] == []
    assert re.search(r"general_09.py +ham .* 27 +return 0", explained)
    first, second = sorted(Path("outputs/runs").glob("*/record.json"), key=lambda path: path.stat().st_mtime)
    assert f"{first.parent}/report.html (" in reported
    assert f"Outdated by {second.parent.name[:12]}, which changes general_09.py" in (
        first.with_name("report.html").read_text(encoding="utf-8")
    )
    assert "Edited from" in second.with_name("report.html").read_text(encoding="utf-8")
    assert Path("labels.csv").read_text(encoding="utf-8").startswith("text,label,confidence,labeled_by,vote ")
