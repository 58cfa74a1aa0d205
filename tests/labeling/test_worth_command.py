"""`alchemist worth` compares the distilled model of a run with the same end model trained on gold labels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from alchemist_exp.cli.worth import main
from alchemist_exp.results.record import RunRecord


def change_record(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = directory / "record.json"
    stored = json.loads(file.read_text())
    change(stored)
    file.write_text(json.dumps(stored))


def remove_gold(directory: Path, *splits: str, keep: int = 0) -> None:
    file = directory / "labels.parquet"
    table = pd.read_parquet(file)
    for split in splits:
        rows = table.index[table["split"] == split]
        table.loc[rows[keep:], "gold"] = None
    table.to_parquet(file)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit):
        main(arguments)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_scores_are_those_of_the_run_and_of_models_trained_on_gold(finished, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert main([str(finished), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    record = RunRecord.read(finished)
    for split in ("test", "valid"):
        of_run = record.end_model["metrics"][split]["accuracy"]
        assert found["distilled"][split]["per_seed"] == pytest.approx(of_run["per_seed"])
    assert (found["metric"], found["split"], found["n_stopping"], found["n_labeled"]) == ("accuracy", "test", 100, 100)
    assert [point["rows"] for point in found["curve"]] == [50, 100]
    assert all(len(point["scores"]["test"]["per_seed"]) == 5 for point in found["curve"])
    # All five draws of all rows are the same rows, and the run has one seed.
    assert found["curve"][1]["scores"]["test"]["std"] == pytest.approx(0, abs=0.02)
    assert len(found["crossings"]) == 5
    assert any(use.startswith("valid: early stopping") for use in found["gold_of_run"])
    assert not any("scoring" in use for use in found["gold_of_run"])
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_without_valid_and_test_labels_of_the_run_it_says_what_it_compares(copied, capsys, tmp_path) -> None:
    change_record(copied, lambda stored: stored["data"].update(gold_used=[]))
    remove_gold(copied, "test")
    plot = tmp_path / "worth.png"
    assert main([str(copied), "--rows", "60", "--plot", str(plot)]) == 0
    said = capsys.readouterr().out
    assert "valid accuracy" in said
    assert "test accuracy" not in said
    assert "test has no gold labels, so scores on valid are compared." in said
    assert "some of their own training rows, which they hold out" in said
    assert "gold used  train: this evaluation only (50 of 100 rows per draw)" in said
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_compared_is_one_sentence(copied, capsys, tmp_path) -> None:
    run = str(copied)
    assert "--rows is 10; expected 50 or more" in refused(capsys, run, "--rows", "10")
    assert "expected a name that ends in .png or .svg" in refused(capsys, run, "--plot", str(tmp_path / "w.pdf"))
    (tmp_path / "w.png").write_bytes(b"mine")
    assert "w.png' exists; name another one by --plot FILE" in refused(capsys, run, "--plot", str(tmp_path / "w.png"))
    remove_gold(copied, "train", keep=30)
    assert "has 30 rows with a gold label; expected 50 or more" in refused(capsys, run)


def test_a_run_without_labels_to_score_with_or_a_model_is_refused(copied, capsys) -> None:
    run = str(copied)
    remove_gold(copied, "valid", "test")
    assert "test and valid of the run" in refused(capsys, run)
    change_record(copied, lambda stored: stored["config"]["dataset"].update(metric="recall"))
    assert "its dataset.metric is 'recall'; expected accuracy or f1" in refused(capsys, run)
    change_record(copied, lambda stored: stored["data"].update(kind="images"))
    assert "are images, whose files are outside of the run" in refused(capsys, run)
    (copied / "model").rename(copied / "other")
    assert "has no distilled model, as with end_model=none" in refused(capsys, run)
