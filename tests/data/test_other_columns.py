"""Columns that no stage uses keep their values and types on their way to the labels."""

import datetime
import io
import json
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.types import Split
from alchemist_exp.data.other_columns import other_columns, unify_types
from alchemist_exp.data.text_data import TextData

IDS = [2**60 + 1, 2, 3]
TEXTS = ["one", "two", "three"]
DAYS = [datetime.date(2026, 1, day) for day in (1, 2, 3)]


def load(composed, path: Path, *overrides: str) -> TextData:
    chosen = ("dataset=files", "dataset.classes=[ham,spam]", "dataset.prompt=label", f"dataset.path={path}")
    return config.build(composed(*chosen, *overrides)).dataset.load()


def test_parquet_keeps_its_types_and_limit_takes_the_head(composed, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "id": pa.array(IDS, pa.uint64()),
        "stars": pa.array([1.5, None, 3.0], pa.float32()),
        "day": pa.array(DAYS),
        "at": pa.array([1, None, 3], pa.timestamp("ns", tz="UTC")),
        "tags": pa.array([["a"], [], None]),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "label": pa.array([0, 1, 0]),
    }
    parquet.write_table(pa.table({"text": TEXTS} | columns), tmp_path / "a.parquet")
    other = load(composed, tmp_path / "a.parquet", "dataset.limit=2").other_columns[Split.TRAIN]
    del columns["label"]
    assert other.to_pydict() == {name: column.to_pylist()[:2] for name, column in columns.items()}
    del columns["kind"], columns["tags"]  # Parquet gives the items of a list another name
    assert {name: other[name].type for name in columns} == {name: column.type for name, column in columns.items()}


def test_csv_values_stay_as_they_are_written(composed, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text,note\n001,one,\n1.0,two,NA\n")
    other = load(composed, tmp_path / "a.csv").other_columns[Split.TRAIN]
    assert other.to_pydict() == {"id": ["001", "1.0"], "note": ["", "NA"]}


def test_the_fingerprint_is_of_the_dataset_alone(composed, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "one", "id": 7}\n{"text": "two", "id": 8}\n')
    plain, with_ids = (load(composed, tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    assert plain.fingerprint == with_ids.fingerprint
    assert with_ids.other_columns[Split.TRAIN].to_pydict() == {"id": [7, 8]}


@pytest.mark.parametrize(
    ("values", "expected", "kind"),
    [
        ([1, None, 3], None, "int64"),
        ([1.5, None, 3], [1.5, None, 3.0], "double"),
        ([2**62 + 1, None, 1], None, "int64"),
        ([2**53 + 1, 0.5, None], ["9007199254740993", "0.5", None], "string"),
        ([2**70, 1, "x"], ["1180591620717411303424", "1", "x"], "string"),
        ([[1], [], None], None, "list<item: int64>"),
        ([{"a": 1}, {"a": "x"}, [2]], ['{"a": 1}', '{"a": "x"}', "[2]"], "string"),
        ([{}, {}, None], ["{}", "{}", None], "string"),
        (["\ud800", "b", None], ["?", "b", None], "string"),
        ([None, None, None], None, "null"),
    ],
)
def test_json_values_keep_their_type_or_become_text(values: list, expected: list | None, kind: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"text": TEXTS, "x": json.loads(json.dumps(values))}
    other = other_columns(columns, ["text", "label", None], range(3), None)
    assert str(other["x"].type).replace("element", "item") == kind
    assert other["x"].to_pylist() == (values if expected is None else expected)
    parquet.write_table(pa.table({"x": other["x"]}), io.BytesIO())


def test_splits_get_the_same_columns_and_types() -> None:
    import pyarrow as pa

    unified = unify_types(
        {
            Split.TRAIN: pa.table({}),
            Split.VALID: pa.table({"id": [1]}),
            Split.TEST: pa.table({"id": [0.5], "n": ["a"]}),
        },
        {Split.TRAIN: 2, Split.VALID: 1, Split.TEST: 1},
    )
    assert {split: table.to_pylist() for split, table in unified.items()} == {
        Split.TRAIN: [{"id": None, "n": None}] * 2,
        Split.VALID: [{"id": 1.0, "n": None}],
        Split.TEST: [{"id": 0.5, "n": "a"}],
    }
    assert len({str(table.schema) for table in unified.values()}) == 1


def test_a_divided_file_keeps_its_other_columns_and_the_numbers_of_its_rows(tmp_path: Path, composed) -> None:
    lines = "".join(f"text {i},{'ham' if i % 2 else ''},id{i}\n" for i in range(20))
    (tmp_path / "a.csv").write_text(f"text,label,id\n{lines}")
    overrides = ("dataset.prompt=p", "dataset.classes=[ham,spam]", "dataset.test_share=0.5")
    data = config.build(composed("dataset=files", f"dataset.path={tmp_path / 'a.csv'}", *overrides)).dataset.load()
    assert data.splits == tuple(Split)
    for split in Split:
        numbers = data.rows_of_input(split).tolist()
        assert data.texts(split) == [f"text {number}" for number in numbers]
        assert data.other_columns[split]["id"].to_pylist() == [f"id{number}" for number in numbers]
