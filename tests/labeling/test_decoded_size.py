"""The memory of a Parquet file of another person is bounded before the file is read."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from alchemist_exp.core.errors import StoreError
from alchemist_exp.labeling import decoded_size
from alchemist_exp.labeling.decoded_size import check_decoded_size

TEXT = "x" * 10_000


@pytest.mark.parametrize(
    "column",
    [
        pa.array([TEXT] * 3_000),
        pa.array([TEXT] * 3_000).dictionary_encode(),
        pa.array([[TEXT]] * 3_000),
        pa.array([{"a": TEXT}] * 3_000),
    ],
)
def test_the_decoded_size_counts_and_not_the_size_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: pa.Array
) -> None:
    path = tmp_path / "labels.parquet"
    parquet.write_table(pa.table({"row": range(3_000), "text": column}), path)
    assert path.stat().st_size < 100_000
    check_decoded_size(path)
    monkeypatch.setattr(decoded_size, "MAX_READ_BYTES", 20_000_000)
    with pytest.raises(StoreError, match="take more than 20,000,000 bytes in memory"):
        check_decoded_size(path)
    monkeypatch.setattr(decoded_size, "MAX_READ_BYTES", 30_000)  # columns that are not read do not count
    check_decoded_size(path, columns=["row"])


@pytest.mark.parametrize("kind", [pa.map_(pa.string(), pa.string()), pa.list_(pa.string(), 1)])
def test_a_type_that_no_run_writes_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "labels.parquet"
    column = pa.array([[("a", TEXT)] if pa.types.is_map(kind) else [TEXT]] * 10, kind)
    parquet.write_table(pa.table({"row": range(10), "text": column}), path)
    with pytest.raises(ValueError, match="a column has the type"):
        check_decoded_size(path)
    check_decoded_size(path, columns=["row"])


def test_row_groups_that_are_read_one_by_one_are_bounded_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.parquet"
    parquet.write_table(pa.table({"text": [TEXT] * 30}), path, row_group_size=10)
    monkeypatch.setattr(decoded_size, "MAX_READ_BYTES", 15 * len(TEXT))
    check_decoded_size(path, one_by_one=True)
    with pytest.raises(StoreError, match="more than 150,000 bytes"):
        check_decoded_size(path)
    monkeypatch.setattr(decoded_size, "MAX_READ_BYTES", 5 * len(TEXT))
    with pytest.raises(StoreError, match="more than 50,000 bytes"):
        check_decoded_size(path, one_by_one=True)
