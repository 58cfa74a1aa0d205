"""Rows of several columns: types are decided over all splits, and one sentence says what is wrong with a column."""

import datetime
import json
from decimal import Decimal
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, DataError, StoreError
from alchemist_exp.core.task import Column
from alchemist_exp.core.types import Split
from alchemist_exp.data.images.rows import ImageRows
from alchemist_exp.data.kinds import KINDS, load_kind, save_kind
from alchemist_exp.data.record_columns import RecordTable, describe_columns, read_records
from alchemist_exp.data.records import RecordRows
from alchemist_exp.data.score_rows import ScoreRows
from alchemist_exp.data.text_data import TextData
from alchemist_exp.data.text_rows import TextRows
from alchemist_exp.programs.repair import RowRedactor
from alchemist_exp.sandbox.inputs import INPUTS

BASE = ("dataset=files", "dataset.classes=[ham,spam]", "dataset.prompt=Label.")


@pytest.fixture
def load(composed):
    def load_path(path: Path, *overrides: str) -> TextData:
        return config.build(composed(*BASE, f"dataset.path={path}", *overrides)).dataset.load()

    return load_path


def records(data: TextData, split: Split = Split.TRAIN) -> list[dict[str, object]]:
    return [json.loads(row) for row in data.texts(split)]


def read(values: list[object], *, untyped: bool = False, test: list[object] | None = None) -> list[object]:
    """Return the values of a column after reading, those of train and test."""
    parts = {Split.TRAIN: values} | ({} if test is None else {Split.TEST: test})
    tables = {
        split: RecordTable(where="a.csv", columns={"c": part}, untyped=untyped, class_names={})
        for split, part in parts.items()
    }
    rows, _ = read_records(["c"], tables)
    return [json.loads(row)["c"] for split in parts for row in rows[split]]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", " -2", "0"], [1, -2, 0]),
        (["1", "2.5", "1e3"], [1.0, 2.5, 1000.0]),
        (["1", "", "NA", "nan"], [1, None, None, None]),
        (["007", "1"], ["007", "1"]),  # ids
        (["1" * 19, "1"], ["1" * 19, "1"]),  # an id that does not fit in 64 bits
        (["+4912345", "1"], ["+4912345", "1"]),
        (["1,234", "1"], ["1,234", "1"]),
        (["2026-01-31", "2026-02-01"], ["2026-01-31", "2026-02-01"]),
        (["none", "na"], ["none", "na"]),  # words of a column without any number
        (["", " "], [None, None]),
        (["1e999", "1"], ["1e999", "1"]),
        ([".", "-.", "e5", "-"], [".", "-.", "e5", "-"]),
        ([".5", "5.", "-.5"], [0.5, 5.0, -0.5]),
        (["True", "False"], ["True", "False"]),
        (["१", "1"], ["१", "1"]),  # a digit of another script
    ],
)
def test_strings_of_a_csv_file_become_numbers_if_all_are(texts: list[object], expected: list[object]) -> None:
    found = read(texts, untyped=True)
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2"], ["1", "2"]),  # JSON says that they are strings
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([True, False, None], [True, False, None]),
        ([True, 1], ["true", "1"]),
        ([1, "a"], ["1", "a"]),
        ([float("nan"), 1.5, float("inf")], [None, 1.5, None]),
        ([2**70, 1], [str(2**70), "1"]),
        ([Decimal("1.50")], [1.5]),
        ([datetime.date(2026, 1, 31)], ["2026-01-31"]),
        ([datetime.datetime(2026, 1, 31, 12)], ["2026-01-31T12:00:00"]),
        ([["a", 1], {"b": None}], ['["a", 1]', '{"b": null}']),
        (["", " "], ["", " "]),
    ],
)
def test_typed_values_keep_their_types(values: list[object], expected: list[object]) -> None:
    found = read(values)
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


def test_types_are_decided_over_all_splits() -> None:
    assert read(["1", "2"], untyped=True, test=["x"]) == ["1", "2", "x"]
    assert read([1], test=[2.5]) == [1.0, 2.5]


@pytest.mark.parametrize("value", [b"raw", {"bytes": b"raw"}, object()])
def test_other_values_are_refused_with_row_and_column(value: object) -> None:
    with pytest.raises(DataError, match=r"^a.csv: row 2 has a value of type \w+ in the column 'c', .*leave the column"):
        read([1, value])


def test_a_csv_file_becomes_records(tmp_path: Path, load) -> None:
    (tmp_path / "train.csv").write_text("id,title,price,text\n01,Tea,3,a\n02,,4.5,b\n03,,,\n")
    (tmp_path / "test.csv").write_text("title,price,label\nMug,7,spam\n")
    data = load(tmp_path, "dataset.columns=[title,price]")
    assert records(data) == [
        {"title": "Tea", "price": 3.0},
        {"title": None, "price": 4.5},
        {"title": None, "price": None},
    ]
    assert records(data, Split.TEST) == [{"title": "Mug", "price": 7.0}]
    assert data.gold(Split.TEST).tolist() == [1]
    assert data.other_columns[Split.TRAIN].column_names == ["id", "text"]
    assert data.has_text(Split.TRAIN).tolist() == [True, True, False]
    assert [(c.name, c.type, round(c.missing, 2)) for c in data.task.columns] == [
        ("title", "str", 0.67),
        ("price", "float", 0.33),
    ]
    assert data.task.parameter == "row"


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ("[Title]", DataError, "has no column 'Title' (did you mean 'title'?); it has 'title', 'label'. Correct"),
        ("[title,label]", ConfigError, "dataset.columns has 'label', which is dataset.label_column"),
        ("[]", ConfigError, "is not a list of different names"),
        ("[title] dataset.label_column=Label", DataError, "dataset.label_column='Label' is in no split"),
        ("[title,title]", ConfigError, "is not a list of different names"),
        ("[[title]]", ConfigError, "is not a list of different names"),
        ("[title] dataset.text_column=title", ConfigError, "are both set"),
        ("null dataset.show_examples=true", ConfigError, "shows values of dataset.columns, which is not set"),
    ],
)
def test_wrong_columns(tmp_path: Path, load, columns: str, error: type[Exception], message: str) -> None:
    (tmp_path / "a.csv").write_text("title,label\nTea,ham\n")
    with pytest.raises(error) as raised:
        load(tmp_path / "a.csv", *f"dataset.columns={columns}".split())
    assert message in str(raised.value)


def test_rows_without_any_value_stop_the_run(tmp_path: Path, load) -> None:
    (tmp_path / "a.csv").write_text("title,price,text\n" + ",,x\n" * 30)
    with pytest.raises(DataError, match=r"30 of 30 rows have no value in the columns title, price; choose others"):
        _ = load(tmp_path / "a.csv", "dataset.columns=[title,price]").rows_with_text


def test_labels_under_another_name_are_not_shown_to_programs(tmp_path: Path, load) -> None:
    (tmp_path / "a.csv").write_text("title,Label\nTea,ham\n")
    with pytest.raises(DataError, match=r"no column is called 'label' where the labels are expected, but .* 'Label'"):
        load(tmp_path / "a.csv", "dataset.columns=[title,Label]")


def test_a_single_file_is_divided(tmp_path: Path, load) -> None:
    (tmp_path / "a.csv").write_text("n,label\n" + "".join(f"{n},{['ham', 'spam'][n % 2]}\n" for n in range(20)))
    data = load(tmp_path / "a.csv", "dataset.columns=[n]", "dataset.test_share=0.2", "dataset.limit=3")
    assert {split.value: len(data.texts(split)) for split in data.splits} == {"train": 3, "valid": 3, "test": 3}
    for split in data.splits:
        assert [row["n"] for row in records(data, split)] == data.rows_of_input(split).tolist()
        assert [row["n"] % 2 for row in records(data, split)] == data.gold(split).tolist()


def test_columns_of_class_indices_have_the_names_of_the_classes(tmp_path: Path, load) -> None:
    import datasets

    features = {"title": datasets.Value("string"), "shop": datasets.ClassLabel(names=["north", "south"])}
    table = datasets.Dataset.from_dict({"title": ["a", "b"], "shop": [1, -1]}, features=datasets.Features(features))
    table.to_parquet(str(tmp_path / "a.parquet"))
    data = load(tmp_path / "a.parquet", "dataset.columns=[title,shop]")
    assert records(data) == [{"title": "a", "shop": "south"}, {"title": "b", "shop": None}]


def test_columns_alter_the_key_only_where_they_are_set(composed) -> None:
    plain = config.build(composed(*BASE, "dataset.path=a")).dataset.key()
    assert not {"columns", "show_examples"} & set(plain)
    records = config.build(composed(*BASE, "dataset.path=a", "dataset.columns=[a,b]")).dataset.key()
    assert records == plain | {"columns": ["a", "b"], "show_examples": False}


def test_texts_that_look_like_records_have_another_fingerprint() -> None:
    rows = ['{"a": 1}']
    assert TextRows().fingerprint(rows) != RecordRows().fingerprint(rows)


def test_repeats_compare_numbers_exactly_and_texts_by_letters(tmp_path: Path, load) -> None:
    (tmp_path / "train.jsonl").write_text('{"t": "Tea!", "p": 1.5}\n{"t": "tea", "p": 15}\n{"t": "x", "p": 1}\n')
    (tmp_path / "test.jsonl").write_text('{"t": "tea", "p": 1.5}\n{"t": "tea", "p": -1.5}\n')
    data = load(tmp_path, "dataset.columns=[t,p]")
    assert data.repeats.within == {Split.TRAIN: 0, Split.TEST: 0}
    assert data.repeats.unseen[Split.TEST].tolist() == [False, True]


def test_few_different_strings_are_categories() -> None:
    long = "a sentence that is sent to all customers who ask the same"
    values = [{"color": "red" if n % 2 else "blue", "body": f"text {n}", "n": n, "long": long} for n in range(20)]
    rows = list(map(json.dumps, values))
    kind = RecordRows(columns=describe_columns(list(values[0]), {Split.TRAIN: rows}, examples=False))
    assert [column.category for column in kind.columns] == [True, False, False, False]
    assert kind.extractor_input(rows[:1]) == [f"text 0\n{long}"]
    assert kind.values(rows[:2]) == {"color": ["blue", "red"], "n": [0, 1]}


COLUMNS = (Column(name="title", type="str"), Column(name="price", type="float"), Column(name="n", type="int"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"n": 3, "title": "Tea", "more": 1}', {"title": "Tea", "price": None, "n": 3}),
        ('{"n": 3.0, "price": "2.5"}', {"title": None, "price": 2.5, "n": 3}),
        ('{"price": "NA", "title": 12}', {"title": "12", "price": None, "n": None}),
    ],
)
def test_new_records_are_converted_to_the_types_of_the_run(line: str, expected: dict[str, object]) -> None:
    assert json.loads(RecordRows(columns=COLUMNS).parse(line)) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plain text", "expected a JSON object with title, price, n; this is not JSON"),
        ("[1]", "expected a JSON object with title, price, n, not [1]"),
        ("{}", "the object is empty"),
        ('{"titel": "Tea"}', "column 'titel' is unknown; did you mean 'title'?"),
        ('{"n": 2.5}', "n is '2.5'; expected int"),
        ('{"n": true}', "n is 'True'; expected int"),
        ('{"price": "cheap"}', "price is 'cheap'; expected float"),
    ],
)
def test_new_records_that_do_not_fit(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        RecordRows(columns=COLUMNS).parse(line)
    assert message in str(raised.value)


def test_how_a_person_sees_a_record() -> None:
    kind, row = RecordRows(columns=COLUMNS), '{"title": "one\\ntwo", "price": 2.5, "n": null}'
    assert kind.show(row) == "title: one\ntwo\nprice: 2.5\nn: (missing)"
    assert kind.show(row, 400) == "title: one two; price: 2.5; n: (missing)"
    long = json.dumps({"title": "x" * 1000, "price": 1.0, "n": 7})
    assert kind.show(long, 400).endswith("x...; price: 1.0; n: 7")
    assert len(kind.show(long, 400)) < 400


def test_error_messages_do_not_quote_values_but_name_columns(tmp_path: Path, load) -> None:
    (tmp_path / "a.jsonl").write_text('{"description_of_item": "a very private sentence", "n": 1}\n')
    redactor = RowRedactor(load(tmp_path / "a.jsonl", "dataset.columns=[description_of_item,n]"))
    assert redactor.redact("KeyError: 'description_of_items'") == "KeyError: 'description_of_items'"
    assert "private" not in redactor.redact("ValueError: a very private sentence")


@pytest.mark.parametrize("kind", KINDS.values())
def test_each_kind_has_a_sandbox_input_and_survives_saving(kind, tmp_path: Path) -> None:
    assert kind.name in INPUTS
    rows = kind(columns=COLUMNS if kind is RecordRows else ())
    (tmp_path / "image.ppm").write_bytes(b"P6 2 1 255 abcdef")
    lines = {"images": str(tmp_path / "image.ppm"), "scores": "[0.25, 0.5]"}
    row = rows.parse(lines.get(kind.name, '{"title": "Tea"}'))
    assert not rows.is_empty(row)
    assert len(rows.extractor_input([row])) == 1
    assert len(INPUTS[kind.name](rows.program_input([row]))) == 1
    assert all(len(column) == 1 for column in rows.arrow_columns([row]).values())
    assert rows.show(row)
    assert rows.content(row) or kind is ScoreRows
    assert rows.fingerprint([row]) != rows.fingerprint([row, row])
    if kind is ImageRows:  # a file that is not an image is a row without content
        assert rows.is_empty(rows.parse("nothing of this kind"))
        assert rows.reason_without_content(rows.parse("nothing of this kind")) == "the file does not exist"
    elif kind is not TextRows:  # each line is a text
        with pytest.raises(ValueError, match="expected"):
            rows.parse("nothing of this kind")
    save_kind(tmp_path, rows)
    assert load_kind(tmp_path) == rows


def test_models_of_earlier_versions_are_for_texts_and_a_broken_file_is_named(tmp_path: Path) -> None:
    assert load_kind(tmp_path) == TextRows()
    (tmp_path / "rows.json").write_text('{"kind": "sounds", "columns": []}')
    with pytest.raises(StoreError, match="is broken"):
        load_kind(tmp_path)
