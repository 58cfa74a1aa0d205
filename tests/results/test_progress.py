"""The lines that are printed during a run where there is no terminal."""

from types import SimpleNamespace

import pytest

from alchemist_exp.results import progress as progress_module
from alchemist_exp.results.progress import RichProgress


@pytest.mark.parametrize("total", [None, 0, 5])
def test_progress_on_a_pipe_prints_nothing_at_once(total: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    progress = RichProgress()
    progress.start("working", total)
    progress.advance(3)
    progress.stop()
    progress.stop()
    progress.advance(1)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_progress_on_a_pipe_is_a_line_every_30_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter([0.0, 29.0, 31.0, 31.0, 60.0])
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    progress = RichProgress()
    progress.start("working", 5000)
    for _ in range(3):
        progress.advance(1000)
    progress.stop()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "working: 2,000 of 5,000 after 0 s\n"
