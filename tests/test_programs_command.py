"""The command `alchemist programs diff`, on runs of a recording."""

import json
import os
import shutil
from pathlib import Path

import pandas
import pytest

from alchemist_exp import config
from alchemist_exp.cli import show
from alchemist_exp.cli.programs import main
from alchemist_exp.cli.report import write_run_report
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.data.tables import TableDataset
from alchemist_exp.pipeline.run import run
from alchemist_exp.results.edits import edits_of
from alchemist_exp.results.record import RunRecord

pytestmark = pytest.mark.usefixtures("shared_stages")


@pytest.fixture(scope="module")
def outputs(composed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the runs `before`, `after` and `later`: a changed program, and one left out."""
    root = tmp_path_factory.mktemp("diff")

    def ran(*overrides: str) -> Path:
        options = [
            "+experiment=tiny",
            "label_model=majority",
            "sandbox.determinism_rows=0",
            f"paths.outputs={root / 'outputs'}",
            *overrides,
        ]
        cfg = composed(*options)
        return run(config.build(cfg), config.to_container(cfg), options, NoProgress()).directory

    before = ran()
    mine = root / "mine"
    shutil.copytree(before / "programs", mine)
    header = (mine / "general_00.py").read_text().partition("#: ---\n")[0] + "#: ---\n"
    (mine / "general_00.py").write_text(
        f"{header}def label_function(comment):\n    return 1 if 'http' in comment else -1\n"
    )
    (mine / "general_09.py").unlink()
    first = ran("method=program_files", f"method.path={mine}")
    (mine / "general_00.py").write_text(
        f"{header}def label_function(comment):\n    return 0 if 'song' in comment else -1\n"
    )
    second = ran("method=program_files", f"method.path={mine}")
    for name, folder in (("before", before), ("after", first), ("later", second)):
        (root / name).symlink_to(folder)
    return root


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    if code:
        with pytest.raises(SystemExit) as end:
            main(["diff", *arguments])
        assert end.value.code == code
    else:
        assert main(["diff", *arguments]) == 0
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_changed_programs_are_listed_and_equal_ones_counted(outputs: Path, capsys) -> None:
    text = said(capsys, str(outputs / "before"), str(outputs / "after"))
    assert "Programs  1 changed, 8 the same, 1 only in A" in text
    assert "general_00.py" in text
    assert "general_01.py" not in text
    assert "Rows with another label" in text
    assert "label model, test" in text


def test_a_program_of_the_same_name_has_changed_and_its_lines_are_shown(outputs: Path, capsys) -> None:
    text = said(capsys, str(outputs / "after"), str(outputs / "later"), "--source")
    assert "Programs  1 changed, 8 the same" in text
    assert "-    return 1 if 'http' in comment else -1\n+    return 0 if 'song' in comment else -1" in text


def test_the_reason_why_a_program_is_not_in_the_other_run(outputs: Path, capsys, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree((outputs / "before").resolve(), other)
    record = json.loads((other / "record.json").read_text())
    gone, spare = record["programs"]["list"][:2]
    record["programs"]["list"] = record["programs"]["list"][2:]
    record["programs"]["rejected"] = [gone | {"reason": "it never votes", "stage": "no vote"}]
    record["programs"]["not_selected"] = [{"id": spare["id"], "origin": spare["origin"]}]
    (other / "record.json").write_text(json.dumps(record))
    text = said(capsys, str(outputs / "before"), str(other), "--source")
    assert "only in A, rejected in the other: it never votes" in text
    assert "only in A, not selected in the other" in text
    assert "no program has changed" in text


def test_a_run_and_itself_differ_in_nothing(outputs: Path, capsys) -> None:
    key = (outputs / "before").resolve().name
    text = said(capsys, key[:8], key, "--outputs", str(outputs / "outputs"))
    assert "Programs  10 the same" in text
    flipped = text.partition("another label")[2].partition("Scores")[0]
    assert [line.split()[1:] for line in flipped.strip().splitlines()[1:]] == [["0", "0.0%", "0", "0.0%"]] * 3


def test_other_data_cannot_be_compared_by_rows(outputs: Path, capsys, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree((outputs / "before").resolve(), other)
    record = json.loads((other / "record.json").read_text())
    record["data"]["fingerprint"] = "0" * 24
    (other / "record.json").write_text(json.dumps(record))
    assert "rows cannot be compared" in said(capsys, str(outputs / "before"), str(other))


def test_runs_without_gold_labels_have_no_table_of_scores(outputs: Path, capsys, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree((outputs / "before").resolve(), other)
    record = json.loads((other / "record.json").read_text())
    record["label_model"]["metrics"] = record["end_model"]["metrics"] = {}
    (other / "record.json").write_text(json.dumps(record))
    text = said(capsys, str(other), str(other))
    assert text.endswith("\nno scores: the data has no gold labels\n")
    assert "macro F1" not in text


def test_a_file_that_was_changed_after_the_run_is_not_shown_as_its_program(outputs: Path, capsys, tmp_path) -> None:
    other = tmp_path / "other"
    shutil.copytree((outputs / "before").resolve(), other)
    (other / "programs" / "general_00.py").write_text("x = 1\n")
    text = said(capsys, str(other), str(outputs / "after"), "--source")
    assert "A: general_00.py: its file was changed or removed after the run" in text
    assert "-x = 1" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "nothing"], "there is no run 'nothing' under"),
        (["", ""], "3 runs begin with ''"),
        (["one"], "the following arguments are required: B"),
    ],
)
def test_wrong_arguments_are_one_sentence(outputs: Path, capsys, arguments: list[str], message: str) -> None:
    text = said(capsys, *arguments, "--outputs", str(outputs / "outputs"), code=1)
    assert message in text
    assert text.startswith("error: ")
    assert text.count("\n") == 1


def test_the_changed_files_of_a_directory_are_edits(outputs: Path, capsys, tmp_path: Path) -> None:
    before = (outputs / "before").resolve()
    changed = shutil.copytree(before / "programs", tmp_path / "mine")
    own = shutil.copytree(outputs / "outputs", tmp_path / "outputs")  # other tests count the edits of the run
    arguments = ["edit", before.name[:12], str(changed), "--outputs", str(own)]
    for more, message in (([], "has no changed program"), (["--program", "00"], "is a directory; leave it out")):
        with pytest.raises(SystemExit):
            main([*arguments, *more])
        assert message in capsys.readouterr().err
    for name, word in (("general_00.py", "check"), ("general_01.py", "free")):
        source = f"def label_function(comment):\n    return 1 if {word!r} in comment.lower() else -1\n"
        (changed / name).write_text(source)
    assert main(arguments) == 0
    assert "8 the same" in (text := capsys.readouterr().out)
    assert "2 changed" in text
    (changed / "other.py").touch()
    with pytest.raises(SystemExit):
        main(arguments)
    assert "other.py' is not the name of a program of the run" in capsys.readouterr().err


def test_an_edited_program_is_a_new_run_with_its_parent(
    outputs: Path, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, load = [], TableDataset.load
    monkeypatch.setattr(TableDataset, "load", lambda self: loaded.append(self.name) or load(self))
    before, changed = (outputs / "before").resolve(), tmp_path / "changed.py"
    changed.write_text("def label_function(comment):\n    return 1 if 'check' in comment.lower() else -1\n")
    arguments = [before.name[:12], str(changed), "--program", "general_00", "--outputs", str(outputs / "outputs")]
    (before / "report.html").write_text("made before the edit", encoding="utf-8")
    assert main(["edit", *arguments]) == 0
    assert len(loaded) == 1  # vetting and the run share the data
    text = capsys.readouterr().out
    assert "9 the same, 1 changed" in text or "1 changed, 9 the same" in text
    assert "+    return 1 if 'check' in comment.lower() else -1" in text
    assert "\nreport made again  " in text
    assert "\nthe new run        " in text
    assert ("why a row changed" in text) == ("Rows with another weak label" in text)
    (record,) = (
        found
        for path in (outputs / "outputs" / "runs").glob("*/record.json")
        if (found := json.loads(path.read_text()))["config"]["method"].get("edited_from")
    )
    assert record["config"]["method"]["edited_from"] == before.name
    parents = {program["origin"]: program["parent_id"] for program in record["programs"]["list"]}
    old = json.loads((before / "record.json").read_text())
    assert parents["general_00.py"] == old["programs"]["list"][0]["id"]
    new_rows, old_rows = (
        pandas.read_parquet(path / "labels.parquet")
        for path in (outputs / "outputs" / "runs" / record["run_key"], before)
    )
    flipped = int((new_rows["weak_label"].fillna("") != old_rows["weak_label"].fillna("")).sum())
    assert (f"of {flipped:,} rows" in text) == bool(flipped)
    outdated = f"utdated by {record['run_key'][:12]}, which changes general_00.py; finished "
    assert outdated in (before / "report.html").read_text(encoding="utf-8")
    child = outputs / "outputs" / "runs" / record["run_key"]
    edited = f"dited from {before.name[:12]}: this run has other programs"
    assert edited in write_run_report(child).read_text(encoding="utf-8")
    for directory, note in ((before, outdated), (child, edited)):
        assert show.main([str(directory)]) == 0
        assert note in capsys.readouterr().out
    # A run elsewhere has no edits, and a broken record is none.
    copy = Path(shutil.copytree(before, tmp_path / "runs" / before.name))
    assert edits_of(copy, RunRecord.read(copy)) == []
    (child / "record.json").rename(child / "away.json")
    (child / "record.json").write_text("[")
    assert edits_of(before, RunRecord.read(before)) == []
    (child / "away.json").rename(child / "record.json")

    directories = sorted((outputs / "outputs" / "edited").iterdir())
    changed.write_text("def label_function(comment):\n    return 1\n")
    with pytest.raises(SystemExit):
        main(["edit", *arguments])
    assert "rejects general_00.py (constant: the vote is 1 on every training row)" in capsys.readouterr().err
    assert sorted((outputs / "outputs" / "edited").iterdir()) == directories
    for damage, message in (
        (
            lambda path: (path / "general_01.py").write_text("x = 1\n"),
            "general_01.py was changed since the run; restore",
        ),
        (lambda path: (path / "general_01.py").unlink(), "general_01.py is missing; restore the file"),
        (shutil.rmtree, "programs is missing, so no program can be changed"),
    ):
        shutil.copytree(before / "programs", tmp_path / "programs", dirs_exist_ok=True)
        damage(before / "programs")
        with pytest.raises(SystemExit):
            main(["edit", *arguments])
        shutil.copytree(tmp_path / "programs", before / "programs", dirs_exist_ok=True)
        assert message in capsys.readouterr().err
    for wrong, message in (
        ([*arguments[:3], "mine", *arguments[4:]], "no program has this in the name of the file"),
        ([*arguments[:3], "general", *arguments[4:]], "10 programs have this in the name of the file"),
        ([arguments[0], str(before / "programs" / "general_00.py"), *arguments[2:]], "is equal to the program"),
        ([arguments[0], "none.py", *arguments[2:]], "'none.py' is not a file; name the changed program."),
        ([str(before), *arguments[1:5], str(tmp_path)], "only runs of the directory --outputs can be edited"),
    ):
        with pytest.raises(SystemExit):
            main(["edit", *wrong])
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda labels: labels.iloc[:-1], "have different rows, though both runs have the same data"),
        (lambda labels: labels.assign(weak_label=5), "5 is not a class name"),
        (lambda labels: labels.assign(weak_label=[["spam", None]] * len(labels)), "is not a class name"),
        (lambda labels: labels.assign(predicted=[{"a": "b"}] * len(labels)), "is not a class name"),
        (lambda labels: labels.drop(columns="gold"), "it has no column gold"),
    ],
)
def test_labels_of_a_stranger_end_in_one_sentence(outputs: Path, tmp_path: Path, capsys, damage, message: str) -> None:
    copy = Path(shutil.copytree((outputs / "after").resolve(), tmp_path / "copy"))
    damage(pandas.read_parquet(copy / "labels.parquet")).to_parquet(copy / "labels.parquet", index=False)
    assert message in said(capsys, str(outputs / "before"), str(copy), code=1)


def test_labels_that_are_no_file_are_not_read(outputs: Path, tmp_path: Path, capsys) -> None:
    copy = Path(shutil.copytree((outputs / "after").resolve(), tmp_path / "copy"))
    (copy / "labels.parquet").unlink()
    os.mkfifo(copy / "labels.parquet")
    assert "it is not a regular file" in said(capsys, str(outputs / "before"), str(copy), code=1)
