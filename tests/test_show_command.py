"""`alchemist show` prints a run again, and the commands find the outputs directory by themselves."""

import re
from pathlib import Path

import pytest

from alchemist_exp.cli import compare, run, show, status
from alchemist_exp.cli.arguments import OUTPUTS
from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.results.record import SCHEMA_VERSION
from tests.support.commands import run_command

pytestmark = pytest.mark.usefixtures("shared_stages")

TINY = ("+experiment=tiny", "method.n_programs=1", "label_model=majority", "sandbox.determinism_rows=0")


def test_the_default_directory_is_that_of_the_configuration(composed) -> None:
    assert composed().paths.outputs == str(OUTPUTS)


def test_a_run_is_printed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(run.main, monkeypatch, *TINY, "report=true") == 0
    first, next_steps = capsys.readouterr().out.split("this screen again  ")
    command, report, labels, _ = next_steps.split("\n", 3)
    key = command.removeprefix("alchemist show ")
    (directory,) = (tmp_path / "outputs" / "runs").glob(f"{key}*")
    assert report == f"the report         {directory}/report.html"
    assert "Wrong votes: " in (directory / "report.html").read_text("utf-8")
    assert labels.startswith("the labels         in Python: pandas.read_parquet('")
    assert run_command(run.main, monkeypatch, *TINY, "seed=s1", "paths.outputs=a b") == 0
    assert re.search(rf"alchemist show \w{{12}} --outputs '{tmp_path}/a b'\n", capsys.readouterr().out)
    for arguments in ([key], [key[:4]], [], ["--outputs", "outputs"], [str(directory)]):
        assert show.main(arguments) == 0
        assert capsys.readouterr().out.rstrip() == first.rstrip()
    record = read_json(directory / "record.json", what="")
    record["end_model"]["name"] = "\x1b[31mred"
    write_json(directory / "record.json", record)
    assert show.main([key]) == 0
    assert "\\x1b[31mred" in capsys.readouterr().out
    entry = {"concept": "neck", "description": "A \x1b[31mneck", "kept": True, "reason": "", "fidelity": None}
    concepts = {"list": [entry], "scale": "rank", "source": "LLM"}
    write_json(directory / "record.json", record | {"concepts": concepts})
    assert show.main([key]) == 0
    assert "Concepts  source: LLM" in capsys.readouterr().out
    for section, broken in (
        ("concepts", [1]),
        ("groups", {"label_model": {"test": {"n": 1}}}),
        ("cost", [1]),
        ("label_model", {"name": "x"}),
        ("programs", {"list": "x"}),
        ("data", {}),
    ):
        write_json(directory / "record.json", record | {section: broken})
        with pytest.raises(SystemExit):
            show.main([key])
        assert "is broken" in capsys.readouterr().err
    write_json(directory / "record.json", record)
    assert run_command(status.main, monkeypatch) == 0
    assert "1 done" in capsys.readouterr().out
    assert run_command(status.main, monkeypatch, "seed=s1", "-m", *TINY, "a b") == 0
    assert run_command(status.main, monkeypatch, "paths.outputs=a b") == 0
    assert "1 done" in capsys.readouterr().out
    assert compare.main(["label_model=majority"]) == 0
    assert compare.main(["label_model=majority", "a b"]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--outputs", "absent"], "there is no run under absent/runs; name the outputs directory with --outputs DIR."),
        (["2"], "there is no run '2' under"),
        (["1"], "2 runs begin with '1' under"),
        (["1a"], "1a has failed, not finished (no key); alchemist status lists the runs."),
        (["a", "b"], "unrecognized arguments: b; see alchemist show --help."),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for key in ("1a", "1b"):
        failed = {
            "schema_version": SCHEMA_VERSION,
            "run_key": key,
            "status": "failed",
            "started_at": "2026-11-30",
            "error": "no key",
        }
        write_json(tmp_path / "outputs" / "runs" / key / "record.json", failed)
    with pytest.raises(SystemExit) as stopped:
        show.main(arguments)
    assert stopped.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert expected in printed
    assert printed.count("\n") == 1
