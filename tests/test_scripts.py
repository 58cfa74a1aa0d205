"""Scripts, run as their docstrings say."""

import os
import subprocess
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.types import Split
from tests.support.forking import run_forked
from tests.support.paths import REPOSITORY


def predict(directory: str, texts: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_forked(str(REPOSITORY / "scripts" / "predict.py"), directory, cwd=cwd, stdin=texts)


def test_new_text_is_labeled_by_a_run(cli, tmp_path: Path) -> None:
    done = cli("seed=s0", "logger=none", "feature_extractor.n_components=64", "label_model=majority")
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "outputs" / "runs").glob("*/record.json")
    plain = ["check out my channel and subscribe", "i love this song so much"]
    # Only a newline character ends a text.
    odd = ["free cash\u2028click here now", "lunch\x0c at noon?", "hello\x85 you", "a\x0bb", "c\rd", "", "windows\r"]
    labeled = predict(str(record.parent), "".join(f"{text}\n" for text in [*plain, *odd]), tmp_path)
    assert labeled.returncode == 0, labeled.stderr
    lines = [line.split("\t") for line in labeled.stdout.removesuffix("\n").split("\n")]
    assert [line[0] for line in lines[:2]] == ["spam", "ham"]
    assert [line[2] for line in lines] == [*plain, *odd[:-1], "windows"]
    assert all(0.5 <= float(line[1]) <= 1 for line in lines if line[2])
    assert lines[-2] == ["", "", ""]  # no text, no label
    assert predict(str(record.parent), "", tmp_path).stdout == ""
    absent = predict("outputs/runs/absent", "", tmp_path)
    assert (absent.returncode, absent.stderr.count("\n")) == (1, 1)
    assert "there is no run 'outputs/runs/absent' under outputs/runs" in absent.stderr
    by_prefix = predict(record.parent.name[:6], "subscribe to my channel\n", tmp_path)
    assert by_prefix.stdout.startswith("spam\t"), by_prefix.stderr


def test_images_are_labeled_by_a_run(cli, tmp_path: Path) -> None:
    small = ("dataset.n_train=40", "dataset.n_valid=20", "dataset.n_test=20", "label_model=majority", "seed=s0")
    done = cli("dataset=toy_birds", "feature_extractor=clip_toy", "logger=none", *small)
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "outputs" / "runs").glob("*/record.json")
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 255 abcdef")
    (tmp_path / "b.jpg").write_bytes(b"broken")
    labeled = predict(str(record.parent), "b.jpg\na.ppm\n", tmp_path)
    assert labeled.returncode == 0, labeled.stderr
    lines = [line.split("\t") for line in labeled.stdout.splitlines()]
    assert lines[0] == ["", "", "b.jpg"]
    assert (lines[1][0] in {"landbird", "waterbird"}, lines[1][2]) == (True, "a.ppm")
    assert labeled.stderr.startswith(
        "no label for line 1: expected the path of an image, not 'b.jpg': it is not an image"
    )
    only = predict(str(record.parent), "none.jpg\n", tmp_path)
    assert (only.returncode, only.stdout) == (1, "")
    assert only.stderr.startswith(
        "error: line 1: expected the path of an image, not 'none.jpg': the file does not exist"
    )


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
    assert "exists already; use --force" in again.stderr


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
        f"compare {tmp_path}/o --table table8 {filters} --out {tmp_path}/o/tables",
    ]
    # Without OUTPUTS the outputs are in the caller's directory.
    log.unlink()
    subprocess.run(command, env={"PATH": environment["PATH"]}, check=True, timeout=60, cwd=elsewhere)
    assert log.read_text().startswith("status outputs -m +experiment=table8")
    assert (elsewhere / "outputs" / "runs").is_dir()
