"""A table is the same after writing and reading, in every format."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from alchemist_exp.core.errors import AlchemistError, ConfigError, StoreError
from alchemist_exp.data import writers
from alchemist_exp.data.readers import read_table
from alchemist_exp.data.writers import WRITERS, check_output, write_table

COLUMNS = {
    "id": ["001", "NA", ""],
    "text, long": ["=1+1", 'a "quote",\nsecond line', "Zugänge 帳戶 🙂"],
    "share": [0.25, None, 1.0],
}
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, dtype={"id": str}, keep_default_na=False, na_values={"share": [""]}),
    ".tsv": lambda path: pd.read_csv(
        path, dtype={"id": str}, keep_default_na=False, na_values={"share": [""]}, sep="\t"
    ),
    ".jsonl": lambda path: pd.read_json(path, lines=True, dtype=False),
    ".xlsx": lambda path: pd.read_excel(path, keep_default_na=False, na_values={"share": [""]}),
    ".parquet": pd.read_parquet,
}


def read(path: Path) -> dict[str, list[Any]]:
    table = READERS[path.suffix](path).astype(object)
    return table.where(table.notna(), None).to_dict("list")


@pytest.mark.parametrize("ending", WRITERS)
def test_a_table_comes_back(ending: str, tmp_path: Path) -> None:
    write_table(tmp_path / f"out{ending}", COLUMNS)
    assert read(tmp_path / f"out{ending}") == COLUMNS


@pytest.mark.parametrize("ending", WRITERS)
def test_what_a_format_cannot_hold_becomes_text(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    write_table(path, {"mixed": ["lone \ud800", 1, [1, "a"]], "control": ["a\x00b", "\x0b", "c"]})
    assert len(read(path)["mixed"]) == 3


HARD = {
    "text": ["a\rb", "c\r\nd", "e"],
    "empty": [{}, {}, {}],
    "inner": [{"a": {}}, [[{}]], None],
    "huge": [10**30, -(10**19), 1],
    "float": [float("inf"), float("nan"), 1.5],
    "nested": [[float("inf")], {"a": [float("nan")]}, "\ud800"],
    "bytes": [b"\xff", None, b""],
    "name \ud800\r": [True, False, None],
}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("names", [[name] for name in HARD] + [[*HARD]])
def test_a_writer_never_fails_on_data_that_was_read(ending: str, names: list[str], tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    write_table(path, {"id": ["1", "2", "3"]} | {name: HARD[name] for name in names})
    table = read_table(path)
    assert [*map(str, table.columns["id"])] == ["1", "2", "3"]
    assert len(table.columns) == len(names) + 1
    if "text" in names and ending != ".xlsx":
        assert table.columns["text"] == HARD["text"]
    if ending == ".jsonl":
        for line in path.read_text().splitlines():
            json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent/out.csv", r"name a file in a directory that exists by -o FILE"),
        ("directory.csv", r"exists and is not a file; name another one by -o FILE"),
        ("pipe.csv", r"exists and is not a file; name another one by -o FILE"),
        ("x" * 240 + ".csv", r"cannot be written \(.*\); name another file by -o FILE"),
        ("/proc/out.csv", r"cannot be written \(.*\); name another file by -o FILE"),
    ],
)
def test_a_file_that_cannot_be_written_is_found_before_the_run(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "directory.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ConfigError, match=message):
        check_output(tmp_path / name, COLUMNS)
    assert {path.name for path in tmp_path.iterdir()} == {"directory.csv", "pipe.csv"}


def test_a_failed_write_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(StoreError, match=r"out\.csv could not be written \(No space left on device\); .* by -o FILE"):
        write_table(tmp_path / "out.csv", COLUMNS)


def test_excel_limits_are_found_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path / "out.csv", {"text": ["a" * 40_000]})
    with pytest.raises(
        AlchemistError, match=r"'text' has a text of 40,000 characters.*write a CSV file, as in -o out.csv"
    ):
        check_output(tmp_path / "out.xlsx", {"text": ["a" * 40_000]})
    monkeypatch.setattr(writers, "MAX_EXCEL_ROWS", 2)
    with pytest.raises(AlchemistError, match=r"Excel holds 2 rows, and there are 3; write a CSV file"):
        check_output(tmp_path / "out.xlsx", COLUMNS)
