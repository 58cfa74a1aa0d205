"""`alchemist_exp.apply` labels rows in memory as the command labels tables."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

import alchemist_exp
from alchemist_exp.cli import apply
from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.labeling.model_labeler import ModelLabeler
from alchemist_exp.labeling.program_labeler import ProgramLabeler

TEXTS = ["check out my channel and subscribe", " ", "i love this song so much", "free cash"]


def test_a_frame_gets_the_labels_of_a_table(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for cls in (ModelLabeler, ProgramLabeler):
        monkeypatch.setattr(cls, "CHUNK_ROWS", 3)
    frame = pd.DataFrame({"label": [1, 2, 3, 4], "body": TEXTS}, index=[10, 20, 20, 30])
    frame.to_parquet("in.parquet", index=False)
    for using in ("model", "programs"):
        command = [str(finished), "in.parquet", "-o", "out.parquet", "--overwrite", "--text", "body", "--with", using]
        assert apply.main(command) == 0
        found = alchemist_exp.apply(finished, frame, text="body", with_=using)
        assert found.index.tolist() == [10, 20, 20, 30]
        pd.testing.assert_frame_equal(found.reset_index(drop=True), pd.read_parquet("out.parquet"))
        texts = alchemist_exp.apply(str(finished), iter(TEXTS), with_=using)
        assert texts["label"].fillna("").tolist() == found["label"].fillna("").tolist()
        assert texts.columns[:2].tolist() == ["text", "label"]
        assert len(alchemist_exp.apply(finished, [], with_=using)) == 0
    assert frame.columns.tolist() == ["label", "body"]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("one text", {}, "rows is one str; give a list of rows, or a pandas frame"),
        (None, {}, "rows is a NoneType; expected a list, or a pandas frame"),
        (TEXTS, {"with_": None}, "with_ 'None' is unknown"),
        ([1], {}, "rows: row 1 has int '1'; expected a text"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), {}, "rows has no column 'text'; name the column of the rows by text="),
        (pd.DataFrame([["x", "y"]], columns=["a", "a"]), {}, "expected different strings"),
        (TEXTS, {"with_": "both"}, "with_ 'both' is unknown"),
        (TEXTS, {"sandbox": "docker"}, "sandbox 'docker' is unknown"),
    ],
)
def test_what_cannot_be_labeled_is_one_sentence(finished: Path, rows, options: dict[str, str], message: str) -> None:
    with pytest.raises(alchemist_exp.AlchemistError, match=message):
        alchemist_exp.apply(finished, rows, **options)


def test_a_program_that_does_not_finish_is_a_warning(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    stored = read_json(run / "components.json", what="")
    stored["components"]["sandbox"]["values"] |= {"max_source_bytes": 100}
    write_json(run / "components.json", stored)
    with pytest.warns(UserWarning, match="the program 'general_.* did not finish and abstains on some rows"):
        labels = alchemist_exp.apply(run, ["subscribe"], with_="programs")
    assert labels["label"].isna().all()
    with pytest.raises(alchemist_exp.StoreError, match="has no record"):
        alchemist_exp.apply(run / "programs", ["subscribe"])
