"""`alchemist apply` cuts a large input into parts, each of which is made once."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from alchemist_exp.cli import apply
from alchemist_exp.labeling import plan
from alchemist_exp.labeling.model_labeler import ModelLabeler
from tests.labeling.test_apply_files import TEXTS, times

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture
def table(tmp_path: Path, monkeypatch: Patch) -> pd.DataFrame:
    """Rows that are a large input, in an empty current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "LARGE_BYTES", 0)
    monkeypatch.setattr(ModelLabeler, "CHUNK_ROWS", 6)
    Path("in").mkdir()
    return pd.DataFrame({"id": range(40), "text": [f"{TEXTS[row % 4]} {row}" for row in range(40)]})


def write(table: pd.DataFrame, name: str) -> None:
    path = Path("in", name)
    if name.endswith(".parquet"):
        table.to_parquet(path, row_group_size=8)
    elif name.endswith(".csv"):
        table.to_csv(path, index=False)
    else:
        raw = table.to_json(orient="records", lines=True).encode()
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.jsonl.gz"])
def test_the_parts_have_the_rows_in_their_order_and_missing_ones_are_made_again(
    finished: Path, table: pd.DataFrame, name: str, monkeypatch: Patch, capsys: Capture
) -> None:
    write(table, name)
    command = [str(finished), f"in/{name}", "-o", "out/", "--part-rows", "16"]
    assert apply.main(command) == 0
    assert capsys.readouterr().out.startswith(
        "wrote 3 files in out/; 0 finished before, 0 skipped with an error\nrows: 40;"
    )
    first = times(Path("out"))
    assert sorted(first) == [f"rows/part-0000{number}.parquet" for number in range(3)]
    found = pd.read_parquet("out/rows")
    assert found["id"].astype(int).tolist() == list(range(40))
    with monkeypatch.context() as patch:
        patch.setattr(plan, "LARGE_BYTES", 2**20)
        assert apply.main([*command[:3], "small/"]) == 0
    expected = pd.read_parquet("small/rows.parquet")
    pd.testing.assert_frame_equal(found, expected)

    Path("out/rows/part-00001.parquet").unlink()
    capsys.readouterr()
    assert apply.main(command) == 0
    assert capsys.readouterr().out.startswith(
        "wrote 1 file in out/; 2 finished before, 0 skipped with an error\nrows: 40;"
    )
    again = times(Path("out"))
    assert {name for name in first if again[name] != first[name]} == {"rows/part-00001.parquet"}
    pd.testing.assert_frame_equal(pd.read_parquet("out/rows"), found)
    assert apply.main(command) == 0
    assert capsys.readouterr().out.startswith("wrote 0 files in out/; 3 finished before")

    # A number of rows that is a multiple of that of a part; parts of the longer input are removed.
    write(table[:16], name)
    assert apply.main(command) == 0
    assert pd.read_parquet("out/rows")["id"].astype(int).tolist() == list(range(16))
    monkeypatch.setattr(plan, "LARGE_BYTES", 2**20)
    capsys.readouterr()
    assert apply.main(command) == 0  # asked for by --part-rows, whatever the size
    assert capsys.readouterr().out.startswith("wrote 0 files")
    assert apply.main(command[:-2]) == 0
    assert list(times(Path("out"))) == ["rows.parquet"]
    assert not Path("out/rows").exists()


def test_an_error_in_a_large_file_keeps_the_parts_before_it_and_names_the_row(
    finished: Path, table: pd.DataFrame, capsys: Capture
) -> None:
    write(table, "rows.jsonl")
    raw = Path("in/rows.jsonl").read_text().splitlines()
    raw[37] = '{"id": 37, "text": 5}'
    Path("in/rows.jsonl").write_text("\n".join(raw))
    table.drop(columns="text").assign(more="").to_parquet("in/columns.parquet", row_group_size=8)
    command = [str(finished), "in/*", "-o", "out", "--part-rows", "16"]
    assert apply.main(command) == 1
    said = capsys.readouterr()
    assert said.out.startswith("wrote 2 files in out; 0 finished before, 2 skipped with an error\n")
    columns, row = said.err.splitlines()
    assert "columns.parquet has no column 'text'" in columns
    assert "row 38 has int '5'; expected a text" in row
    assert sorted(times(Path("out"))) == ["rows/part-00000.parquet", "rows/part-00001.parquet"]
    assert apply.main(command) == 1
    assert capsys.readouterr().out.startswith("wrote 0 files in out; 2 finished before, 2 skipped with an error\n")


def test_row_groups_are_put_together_up_to_the_rows_of_a_part() -> None:
    assert plan._runs([8, 8, 8, 8, 8], 16) == [(0, 2), (2, 4), (4, 5)]
    assert plan._runs([100, 1, 1], 16) == [(0, 1), (1, 3)]
