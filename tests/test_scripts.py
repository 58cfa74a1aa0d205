"""Scripts, run as their docstrings say."""

import os
import subprocess
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.types import Split
from tests.support.forking import run_forked
from tests.support.paths import REPOSITORY


def prepare_data(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_forked(str(REPOSITORY / "scripts" / "prepare_data.py"), *arguments, cwd=cwd)


def test_raw_files_become_a_dataset_that_loads(composed, tmp_path: Path, monkeypatch) -> None:
    lines = [f"sentence {i}@{('negative', 'neutral', 'positive')[i % 3]}\r\n" for i in range(4846)]
    (tmp_path / "Sentences_50Agree.txt").write_bytes("".join(lines).encode("latin-1"))
    done = prepare_data(tmp_path, "finance", "--source", "Sentences_50Agree.txt", "--out", "sets")
    assert done.returncode == 0, done.stderr
    assert "train   3,488 rows: 1,163 negative, 1,163 neutral, 1,162 positive" in done.stdout
    assert "note" not in done.stdout
    assert done.stdout.splitlines()[-1] == "  ALCHEMIST_DATA=sets alchemist run dataset=finance"
    monkeypatch.setenv("ALCHEMIST_DATA", str(tmp_path / "sets"))
    data = config.build(composed("dataset=finance")).dataset.load()
    assert [len(data.texts(split)) for split in Split] == [3488, 388, 970]
    again = prepare_data(tmp_path, "finance", "--source", "Sentences_50Agree.txt", "--out", "sets")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "exists already; use --overwrite" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["cancer"], "license  "),
        (["french"], "https://huggingface.co/datasets/Abirate/french_book_reviews"),
        (["waterbirds"], "It only needs to be unpacked, so that its metadata.csv is data/waterbirds/metadata.csv."),
        (["youtube"], "or --hub downloads it from the Hugging Face Hub: jieyuz2/WRENCH at b98f579f"),
    ],
)
def test_without_a_source_it_says_where_one_is(tmp_path: Path, arguments: list[str], expected: str) -> None:
    said = prepare_data(tmp_path, *arguments)
    assert said.returncode == 0, said.stderr
    assert expected in said.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["yepl"], "error: the dataset 'yepl' is unknown; did you mean 'yelp'?"),
        (["cancer", "--hub"], "error: cancer has no known repository on the Hub; name its raw files by --source."),
        (["yelp", "--hub", "--source", "x"], "error: --source and --hub exclude each other"),
        (["waterbirds", "--source", "x"], "error: --source is not for waterbirds: unpack the published archive"),
        ([], "error: the following arguments are required: NAME; see prepare_data.py --help."),
    ],
)
def test_what_cannot_be_prepared_is_one_sentence(tmp_path: Path, arguments: list[str], message: str) -> None:
    refused = prepare_data(tmp_path, *arguments)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith(message)


@pytest.mark.parametrize("arguments", [[], [""], ["table7"], ["table1 table3"], ["dataset=sms"]])
def test_reproduce_names_the_tables_in_one_sentence(arguments: list[str]) -> None:
    done = subprocess.run(
        ["sh", str(REPOSITORY / "scripts" / "reproduce.sh"), *arguments], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "is not a table; name table1, table2, table3, table4, table8, table9 or figure5" in done.stderr


def test_reproduce_makes_a_table_of_its_own_runs(tmp_path: Path) -> None:
    """All overrides reach the table; a run with other settings is not part of it."""
    commands = tmp_path / "bin"
    commands.mkdir()
    log = tmp_path / "log"
    (commands / "alchemist").write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    (commands / "alchemist").chmod(0o755)
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "reproduce.sh"
    script.write_bytes((REPOSITORY / "scripts" / "reproduce.sh").read_bytes())
    overrides = ["dataset=youtube,sms", "end_model.max_epochs=3", "--config-dir", "own", "llm.model=a b"]
    environment = {"PATH": f"{commands}:{os.environ['PATH']}", "OUTPUTS": str(tmp_path / "o")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = ["sh", str(script), "table8", *overrides]
    subprocess.run(command, env=environment, check=True, timeout=60, cwd=elsewhere)
    all_of_them, filters = " ".join(overrides), "dataset=youtube,sms end_model.max_epochs=3 llm.model=a b"
    assert log.read_text().splitlines() == [
        f"status {tmp_path}/o -m +experiment=table8 {all_of_them}",
        f"run -m +experiment=table8 {all_of_them} paths.outputs={tmp_path}/o",
        f"compare {tmp_path}/o --table table8 {filters}",
        f"compare {tmp_path}/o --table table8 {filters} --out {tmp_path}/o/tables --overwrite",
    ]
    # Without OUTPUTS the outputs are in the caller's directory.
    log.unlink()
    subprocess.run(command, env={"PATH": environment["PATH"]}, check=True, timeout=60, cwd=elsewhere)
    assert log.read_text().startswith("status outputs -m +experiment=table8")
    assert (elsewhere / "outputs" / "runs").is_dir()
