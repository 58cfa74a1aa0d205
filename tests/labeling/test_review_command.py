"""`alchemist review` writes rows to label by hand, and dataset.reviewed reads their labels as gold labels."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alchemist_exp import config
from alchemist_exp.cli.review import main
from alchemist_exp.core.errors import DataError
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.core.types import LabelMatrix, SoftLabels, Split
from alchemist_exp.data.reviewed import read_reviewed, shown_text
from alchemist_exp.labeling.review import choose_rows
from alchemist_exp.pipeline import record_sections
from alchemist_exp.pipeline.run import run
from tests.labeling.conftest import TINY


@pytest.fixture(scope="module")
def data(composed):
    return config.build(composed(*TINY)).dataset.load()


def read(file: Path, data):
    return read_reviewed(file, data.texts(Split.TRAIN), data.rows_of_input(Split.TRAIN), data.kind, data.task)


def written(finished: Path, file: Path, rows: int) -> list[dict[str, str]]:
    assert main([str(finished), "--rows", str(rows), "-o", str(file)]) == 0
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def fill(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_filled_rows_are_gold_labels_with_gold_none(finished, composed, data, tmp_path, capsys, monkeypatch) -> None:
    file = tmp_path / "review.csv"
    rows = written(finished, file, 12)
    said = capsys.readouterr().out
    assert "12 rows of train in" in said
    assert f"dataset.reviewed={file}" in said
    assert [*rows[0]][:5] == ["row", "text", "label", "p(ham)", "p(spam)"]
    assert len([name for name in rows[0] if name.startswith("vote ")]) == 3
    assert len({row["row"] for row in rows}) == 12
    assert all(row["label"] == "" for row in rows)
    other = tmp_path / "other.csv"
    assert written(finished, other, 12) == rows  # the same run gives the same rows

    gold = data.gold(Split.TRAIN)
    assert gold is not None
    for row in rows[:10]:
        row["label"] = data.task.classes[gold[int(row["row"])]]
    fill(file, rows)
    chosen = [one for one in TINY if not one.startswith("label_model")]
    chosen += [
        "label_model=accuracy_weighted",
        "gold=none",
        "end_model.calibrate=false",
        "vetting.reject_below_chance=true",
        "end_model.max_epochs=1",
        f"dataset.reviewed={file}",
    ]
    composition = composed(*chosen, f"paths.outputs={finished.parents[1]}")
    experiment = config.build(composition)
    assert experiment.dataset.cache_key() == config.build(composed(*TINY)).dataset.cache_key()
    # The warnings compare the distilled model with the labels that it was trained on, which have those of the person.
    trained: list[SoftLabels] = []
    monkeypatch.setattr(record_sections, "one_class_warnings", lambda labels, *_, **__: trained.append(labels) or [])
    record = run(experiment, config.to_container(composition), chosen, NoProgress()).record
    reviewed = [int(row["row"]) for row in rows[:10]]
    assert trained[0].hard()[reviewed].tolist() == gold[reviewed].tolist()
    used = [use for use in record.data["gold_used"] if "scoring" not in use]
    for purpose in ("vetting", "class balance", "label model", "labels of their rows"):
        assert any(use.startswith(f"reviewed: {purpose}") for use in used), purpose
    assert not [use for use in used if not use.startswith("reviewed")]
    assert record.data["reviewed_rows"] == 10
    counts = np.bincount([data.task.classes.index(row["label"]) for row in rows[:10]], minlength=2) + 1
    assert record.label_model["class_balance"] == pytest.approx((counts / counts.sum()).tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"label": "spm"},
            r"line 1 after the header: the label 'spm' is unknown; did you mean 'spam'\? Known: ham, spam",
        ),
        ({"label": ""}, "has no label; write a class name"),
        ({"text": "another"}, "row 3 with the text 'another' is not a row of train of dataset=youtube"),
        ({"row": "9999"}, "row 9999 with the text"),
        ({"row": "x"}, "row x with the text"),
    ],
)
def test_bad_files_are_one_sentence(data, tmp_path, change: dict[str, str], message: str) -> None:
    row = {"row": "3", "text": shown_text(data.texts(Split.TRAIN)[3]), "label": "Spam "}
    file = fill(tmp_path / "r.csv", [row])
    assert read(file, data).gold.tolist() == [1]
    with pytest.raises(DataError, match=message):
        read(fill(file, [row | change]), data)


def test_a_file_with_a_row_twice_or_without_a_column_is_refused(data, tmp_path) -> None:
    row = {"row": "3", "text": data.texts(Split.TRAIN)[3], "label": "spam"}
    with pytest.raises(DataError, match="line 2 after the header: row 3 occurs twice; keep one"):
        read(fill(tmp_path / "r.csv", [row, row]), data)
    del row["label"]
    with pytest.raises(DataError, match=r"has no column 'label'; dataset.reviewed needs row, text and label"):
        read(fill(tmp_path / "r.csv", [row]), data)
    with pytest.raises(DataError, match="which is not a file; write one by `alchemist review RUN`"):
        read(tmp_path / "missing.csv", data)


def test_formulas_are_escaped_and_read_back() -> None:
    assert shown_text("=1+1") == "'=1+1"


def test_an_existing_file_is_not_replaced(finished, tmp_path, capsys) -> None:
    file = tmp_path / "review.csv"
    file.write_text("mine")
    with pytest.raises(SystemExit):
        main([str(finished), "-o", str(file)])
    assert "exists and may have your labels" in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("text", " ", "has no row with content in train"), ("p(ham)", "x", "could not convert string to float: 'x'")],
)
def test_broken_labels_of_a_run_are_one_sentence(
    finished, tmp_path, capsys, column: str, value: object, message: str
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(finished, copied)
    labels = pd.read_parquet(copied / "labels.parquet")
    labels[column] = np.array([value] * len(labels), dtype=object)
    labels.to_parquet(copied / "labels.parquet")
    with pytest.raises(SystemExit):
        main([str(copied), "-o", str(tmp_path / "review.csv")])
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_doubtful_regions_get_more_of_the_chosen_rows() -> None:
    angles = np.linspace(0, np.pi / 2, 200, dtype=np.float32)
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    doubt = (np.arange(200) < 100).astype(np.float32)
    chosen = choose_rows(doubt, features, 10)
    assert len({*chosen.tolist()}) == 10
    assert (chosen < 100).sum() > 5


def test_votes_on_reviewed_rows_join_those_of_valid() -> None:
    from alchemist_exp.context import UsableGold
    from alchemist_exp.data.reviewed import ReviewedRows

    train = LabelMatrix(votes=np.array([[0], [1], [-1]], np.int8), n_classes=2)
    valid = LabelMatrix(votes=np.array([[1]], np.int8), n_classes=2)
    reviewed = ReviewedRows(rows=np.array([1, 2]), gold=np.array([1, 0]))
    gold = UsableGold(labels={Split.VALID: np.array([1])}, reviewed=reviewed)
    votes, labels = gold.labeled_votes("test", train, valid)
    assert votes is not None
    assert labels is not None
    assert (votes.votes.ravel().tolist(), labels.tolist()) == ([1, 1, -1], [1, 1, 0])
    votes, labels = gold.labeled_votes("test", train, None)
    assert votes is not None
    assert votes.votes.ravel().tolist() == [-1, 1, -1]
    votes, labels = UsableGold(labels={}, reviewed=reviewed).labeled_votes("test", train, valid)
    assert labels is not None
    assert labels.tolist() == [1, 0]
