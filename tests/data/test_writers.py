"""A table is the same after writing and reading, in every format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.data import writers
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


def test_excel_limits_are_found_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path / "out.csv", {"text": ["a" * 40_000]})
    with pytest.raises(
        AlchemistError, match=r"'text' has a text of 40,000 characters.*write a CSV file, as in -o out.csv"
    ):
        check_output(tmp_path / "out.xlsx", {"text": ["a" * 40_000]})
    monkeypatch.setattr(writers, "MAX_EXCEL_ROWS", 2)
    with pytest.raises(AlchemistError, match=r"Excel holds 2 rows, and there are 3; write a CSV file"):
        check_output(tmp_path / "out.xlsx", COLUMNS)
