import re
import sys
from pathlib import Path

import pytest

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.results.filled_table import FilledTable, fill
from alchemist_exp.results.plots import figure5
from alchemist_exp.results.runs import index_runs
from tests.support.records import record, write


def drawn(outputs: Path, *, golds: tuple[str, ...] = ("valid",), left_out: int | None = None) -> FilledTable:
    for number, gold in enumerate(golds):
        for n in range(4, 10):
            for draw in range(2):
                if n == left_out:
                    continue
                of = {"dataset": "yelp", "supplement": "mixed", "selection": "random", "gold": gold}
                values = {"selection.n": n, "selection.seed": draw}
                made = record(of, seeds=(0,), label_model=0.8 + 0.01 * n + 0.02 * draw, config=values)
                write(outputs, f"{number}-{n}-{draw}", made)
    return fill("figure5", index_runs(outputs).runs, {})


@pytest.mark.parametrize("golds", [("valid",), ("valid", "none"), ("valid", "$x_ <b>\ud800")])
def test_the_same_results_give_the_same_pictures(tmp_path: Path, golds: tuple[str, ...]) -> None:
    filled = drawn(tmp_path, golds=golds)
    once, again = figure5(filled), figure5(filled)
    assert once == again
    assert once["png"].startswith(b"\x89PNG")
    assert b"<dc:date>" not in once["svg"]
    assert once["svg"].count(b"FillBetweenPolyCollection") == len(golds)


def test_a_line_breaks_where_nothing_was_measured(tmp_path: Path) -> None:
    for left_out, strokes in ((None, 1), (6, 2)):
        svg = figure5(drawn(tmp_path / str(left_out), left_out=left_out))["svg"].decode()
        (line,) = re.findall(r'<path d="([^"]+)" clip-path="[^"]+" style="fill: none; [^"]*stroke: #d55e00', svg)
        assert line.count("M ") == strokes


def test_without_matplotlib_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = drawn(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"needs matplotlib; install it with: .*\[figures\]"):
        figure5(filled)


def test_without_runs_the_axes_are_empty(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert figure5(fill("figure5", index_runs(tmp_path).runs, {}))["png"].startswith(b"\x89PNG")
