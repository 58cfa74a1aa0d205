"""`alchemist apply` labels lines and tables with a finished run, as the run itself did."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alchemist_exp import config
from alchemist_exp.cli import apply
from alchemist_exp.cli.arguments import apply_command
from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.types import LabelMatrix, Split
from alchemist_exp.data import part_writers, table_stream
from alchemist_exp.data.text_rows import TextRows
from alchemist_exp.label_models.majority import Majority
from alchemist_exp.labeling.label_columns import output_names
from alchemist_exp.labeling.model_labeler import ModelLabeler
from alchemist_exp.labeling.program_labeler import ProgramLabeler
from alchemist_exp.methods.types import LabelingResult, LabelSources
from alchemist_exp.pipeline.saved_components import save_components, save_label_model
from tests.support.commands import apply_lines, run_command

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture
def train(finished: Path, tmp_path: Path, monkeypatch: Patch) -> pd.DataFrame:
    """The labels of the run on train; a directory for tables is the current one."""
    monkeypatch.chdir(tmp_path)
    labels = pd.read_parquet(finished / "labels.parquet")
    return labels[labels["split"] == "train"]


def refused(monkeypatch: Patch, capsys: Capture, *arguments: object, text: str = "a\n") -> str:
    """Return the message of a command that fails in one line."""
    assert apply_lines(monkeypatch, text, *map(str, arguments)) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("error: ")
    return said.err


def test_lines_are_labeled(finished: Path, monkeypatch: Patch, capsys: Capture) -> None:
    plain = ["check out my channel and subscribe", "i love this song so much"]
    # Only a newline character ends a text.
    odd = ["free cash\u2028click here now", "lunch\x0c at noon?", "hello\x85 you", "a\x0bb", "c\rd", "", "windows\r"]
    for using in ("model", "programs"):
        text = "".join(f"{line}\n" for line in [*plain, *odd])
        assert apply_lines(monkeypatch, text, str(finished), "--with", using) == 0
        lines = [line.split("\t") for line in capsys.readouterr().out.removesuffix("\n").split("\n")]
        assert lines[0][0] == "spam"
        assert {line[0] for line in lines} <= {"spam", "ham", ""}
        assert [line[2] for line in lines] == [*plain, *odd[:-1], "windows"]
        assert all(0.5 <= float(line[1]) <= 1 for line in lines if line[0])
        assert lines[-2] == ["", "", ""]  # no text, no label
    assert apply_lines(monkeypatch, "", str(finished)) == 0
    assert capsys.readouterr().out == ""
    outputs = str(finished.parent.parent)
    assert apply_command(finished) == f"alchemist apply {finished.name[:12]} --outputs {outputs} FILE"
    assert apply_lines(monkeypatch, "subscribe to my channel", finished.name[:6], "--outputs", outputs) == 0
    assert capsys.readouterr().out.endswith("\tsubscribe to my channel\n")
    said = refused(monkeypatch, capsys, "absent", "--outputs", outputs)
    assert f"there is no run 'absent' under {outputs}/runs" in said


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_the_training_file_gets_the_labels_of_the_run(
    finished: Path, train: pd.DataFrame, ending: str, monkeypatch: Patch, capsys: Capture
) -> None:
    table = train[["text", "row"]].rename(columns={"row": "label"}).assign(id=[f"{n:03d}" for n in range(len(train))])
    if ending == "jsonl":
        table.to_json("train.jsonl", orient="records", lines=True)
    elif ending == "parquet":
        table.to_parquet("train.parquet", index=False)
    else:
        table.to_csv(f"train.{ending}", index=False, sep="\t" if ending == "tsv" else ",")
    # Parts of any size give the same labels, also where classes are tied.
    monkeypatch.setattr(ModelLabeler, "CHUNK_ROWS", 33)
    monkeypatch.setattr(ProgramLabeler, "CHUNK_ROWS", 40)
    for using, column in (("model", "predicted"), ("programs", "weak_label")):
        assert apply.main([str(finished), f"train.{ending}", "-o", "out.parquet", "--overwrite", "--with", using]) == 0
        assert capsys.readouterr().out.startswith("wrote out.parquet: 100 rows: ")
        found = pd.read_parquet("out.parquet")
        names = ["text", "input_label", "id", "label", "confidence", "p(ham)", "p(spam)"]
        assert found.columns[:7].tolist() == names
        assert found["label"].fillna("").tolist() == train[column].fillna("").tolist()
        assert found["id"].tolist() == table["id"].tolist()
        if using == "programs":
            assert found["p(spam)"].to_numpy() == pytest.approx(train["p(spam)"].to_numpy(), abs=1e-5, nan_ok=True)
            for name in found.columns[7:]:
                assert found[name].astype(object).fillna("").tolist() == train[name].astype(object).fillna("").tolist()
            assert len(found.columns) == 10
        else:
            assert found["confidence"].to_numpy() == pytest.approx(train["confidence"].to_numpy(), abs=1e-5)
    if ending == "parquet":
        assert found["input_label"].dtype == table["label"].dtype


def test_a_table_has_a_row_for_each_row_of_the_file(finished: Path, train: pd.DataFrame, capsys: Capture) -> None:
    Path("in.csv").write_text('text;n\n"check out; my channel";1\n  ;2\n', encoding="utf-8-sig")
    assert apply.main([str(finished), "in.csv"]) == 0
    assert capsys.readouterr().out == "wrote in_applied.csv: 2 rows: 1 spam; 1 row without a label\n"
    lines = Path("in_applied.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "\ufefftext;n;label;confidence;p(ham);p(spam)"
    assert lines[1].startswith('"check out; my channel";1;spam;')
    assert lines[2] == "  ;2;;;;"
    assert apply.main([str(finished), "in.csv", "-o", "out.jsonl", "--text", "text"]) == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["label"] for row in rows] == ["spam", None]
    for name in ("in.tsv", "in.xlsx"):
        assert apply.main([str(finished), "in.csv", "-o", name]) == 0
        again = f"{Path(name).stem}2{Path(name).suffix}"
        assert apply.main([str(finished), name, "-o", again]) == 0
    assert Path("in2.tsv").read_text().splitlines()[0].split("\t")[2:4] == ["input_label", "input_confidence"]


def test_what_cannot_be_labeled_is_one_sentence(
    finished: Path, train: pd.DataFrame, monkeypatch: Patch, capsys: Capture
) -> None:
    Path("in.csv").write_text("Texts,n\na,1\n")
    Path("latin.csv").write_bytes("text\né\n".encode("latin-1"))
    Path("bad.csv").write_text("text,n\na,1\nb\n")
    Path("number.jsonl").write_text('{"text": "a"}\n{"text": 5}\n')
    for arguments, message in (
        (["in.csv"], "in.csv has no column 'text' (did you mean 'Texts'?); name the column of the rows by --text"),
        (["in.csv", "--text", "x"], "in.csv has no column 'x'"),
        (["in.csv", "--text", "Texts", "-o", "in.csv"], "is the file that is read"),
        (["in.csv", "-o", "x.doc"], "does not end in .csv"),
        (["latin.csv"], "is not UTF-8 (byte 5); save it as UTF-8, or set --encoding, as in --encoding cp1252."),
        (["latin.csv", "--encoding", "x"], "--encoding 'x' is unknown"),
        (["bad.csv"], "bad.csv cannot be read: line 3 has 1 fields and the header 2"),
        (["number.jsonl"], "number.jsonl: row 2 has int '5'; expected a text."),
        (["absent.csv"], "'absent.csv' is not a file"),
        (["--overwrite"], "are for a FILE"),
        (["--with", "both"], "invalid choice: 'both'"),
    ):
        before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
        assert message in refused(monkeypatch, capsys, finished, *arguments)
        assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
    Path("in_applied.csv").write_text("mine")
    assert "'in_applied.csv' exists" in refused(monkeypatch, capsys, finished, "in.csv", "--text", "Texts")
    assert Path("in_applied.csv").read_text() == "mine"


def test_programs_that_were_edited_are_refused(copied: Path, monkeypatch: Patch, capsys: Capture) -> None:
    program = copied / "programs" / "general_01.py"
    source = program.read_text()
    program.write_text(source.replace("#: program", "#: Program"))  # the header is no part of the program
    assert apply_lines(monkeypatch, "subscribe\n", str(copied), "--with", "programs") == 0
    assert capsys.readouterr().out.startswith("spam")
    program.write_text(source + "\n")
    said = refused(monkeypatch, capsys, copied, "--with", "programs")
    assert "general_01.py was changed since the run" in said
    assert "alchemist run method=program_files method.path=" in said
    program.unlink()
    assert "general_01.py cannot be read" in refused(monkeypatch, capsys, copied, "--with", "programs")
    assert apply_lines(monkeypatch, "subscribe\n", str(copied)) == 0


def test_a_run_of_an_earlier_version_has_its_model_only(copied: Path, monkeypatch: Patch, capsys: Capture) -> None:
    shutil.rmtree(copied / "label_model")
    (copied / "components.json").unlink()
    assert apply_lines(monkeypatch, "subscribe\n", str(copied)) == 0
    assert capsys.readouterr().out.endswith("\tsubscribe\n")
    said = refused(monkeypatch, capsys, copied, "--with", "programs")
    assert "an earlier version of this program made it" in said
    record = read_json(copied / "record.json", what="")
    record["config"]["feature_extractor"]["name"] = "mine"
    write_json(copied / "record.json", record)
    assert "is 'mine', which is not part of this package" in refused(monkeypatch, capsys, copied)


def test_a_program_that_does_not_finish_abstains_with_a_warning(
    copied: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    path = copied / "components.json"
    stored = read_json(path, what="")
    stored["components"]["sandbox"]["values"] |= {"max_source_bytes": 100}
    write_json(path, stored)
    assert apply_lines(monkeypatch, "subscribe\n", str(copied), "--with", "programs") == 0
    said = capsys.readouterr()
    assert said.out == "\t\tsubscribe\n"
    assert said.err.count("warning: the program 'general_0") == 3


@pytest.fixture
def _forget_config_dir() -> Iterator[None]:
    yield
    config.register()


@pytest.mark.usefixtures("_forget_config_dir")
def test_a_component_of_a_config_dir_needs_consent(
    copied: Path, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    path = copied / "components.json"
    stored = read_json(path, what="")
    values = stored["components"]["label_model"]["values"]
    stored["components"]["label_model"] = {"class": "own", "source_fingerprint": "0", "values": values}
    write_json(path, stored)
    (tmp_path / "my" / "label_model").mkdir(parents=True)
    module = "from dataclasses import dataclass\nfrom alchemist_exp import component\n"
    module += "from alchemist_exp.label_models.dawid_skene import OneCoin\nopen('imported', 'w').close()\n"
    module += "@component('label_model', 'own')\n@dataclass(kw_only=True)\nclass Own(OneCoin):\n    pass\n"
    (tmp_path / "my" / "label_model" / "own.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    said = refused(monkeypatch, capsys, copied, "--with", "programs")
    assert "'own', which is not part of this package; if you have its code and trust it, name its directory" in said
    assert not Path("imported").exists()
    assert apply_lines(monkeypatch, "subscribe\n", str(copied), "--with", "programs", "--config-dir", "my") == 0
    said = capsys.readouterr()
    assert said.out.startswith("spam")
    assert "the code of label_model=one_coin has changed since the run" in said.err.lower()


def test_a_label_model_that_does_not_say_what_it_learns_is_not_saved(tmp_path: Path) -> None:
    matrix = LabelMatrix(votes=np.array([[0], [1]], np.int8), n_classes=2)
    model = Majority().fit(matrix, np.array([0.5, 0.5]))
    model.learned = 1
    sources = LabelSources(method="m", n_requested=1, ids=("a",), origins=("a",), matrices={Split.TRAIN: matrix})
    result = LabelingResult(labels={}, labeled_by="majority", sources=sources, label_model=model)
    (note,) = save_label_model(tmp_path / "label_model", result, ["ham", "spam"], TextRows())
    assert note.endswith("its parameter_shapes does not have learned.")
    assert not (tmp_path / "label_model").exists()


def test_the_label_model_that_auto_chose_is_stored(composed, tmp_path: Path) -> None:
    experiment = config.build(composed("label_model=auto", "label_model.candidates=[majority]"))
    for label_model, expected in ((Majority(), "majority"), (None, "auto")):
        save_components(tmp_path / "components.json", experiment, label_model)
        stored = json.loads((tmp_path / "components.json").read_text())
        assert stored["components"]["label_model"]["class"] == expected


def test_the_names_of_columns_are_different() -> None:
    names = output_names(["label", "input_label", "text"], ["label", "confidence"])
    assert names == {"label": "input_input_label", "input_label": "input_label", "text": "text"}


def test_parts_of_jsonl_have_all_columns_and_one_type_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a": 1}\n{"a": 2.5, "b": "x"}\n\n{"b": [1], "c": {}}\n')
    table = table_stream.open_table(path)
    assert (table.columns, table.n_rows) == (("a", "b", "c"), 3)
    assert {name: str(kind) for name, kind in table.arrow_types().items()} == {
        "a": "double",
        "b": "string",
        "c": "string",
    }
    with part_writers.write_parts(tmp_path / "out.parquet", table.columns, types=table.arrow_types) as write:
        for part in table.parts(1):
            write(part)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["b"].fillna("").tolist() == ["", "x", "[1]"]
    assert found["a"].tolist()[:2] == [1.0, 2.5]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), part_writers.write_parts(path, ["a"], types=dict) as write:
        write({"a": [1 // 0]})
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_the_command_is_part_of_the_console(finished: Path, monkeypatch: Patch, capsys: Capture) -> None:
    from alchemist_exp.cli import main

    assert run_command(main.main, monkeypatch, "apply", "--help") == 0
    assert "--with {model,programs}" in capsys.readouterr().out
