"""Gold labels: names or indices, decided for all splits together; class names found in the labels."""

from pathlib import Path

import datasets
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.class_names import infer_classes
from alchemist_exp.data.label_column import LabelColumn, LabelReading
from alchemist_exp.data.labels import read_labels, without_secret_labels
from alchemist_exp.data.text_data import TextData

AUTO, NAMES, INDICES = LabelReading.auto, LabelReading.names, LabelReading.indices


def columns(splits: dict[str, list[object]]) -> dict[str, LabelColumn]:
    return {split: LabelColumn(where=f"{split}.csv", values=values) for split, values in splits.items()}


@pytest.mark.parametrize(
    ("classes", "splits", "expected"),
    [
        # One split without class 0 is read like the others.
        (["1", "2", "3"], {"train": ["0", "1", "2"], "valid": ["1", "2"]}, {"train": [0, 1, 2], "valid": [1, 2]}),
        (["1", "2", "3"], {"train": ["1", "2", "3"], "valid": ["1", "2"]}, {"train": [0, 1, 2], "valid": [0, 1]}),
        # A permutation of the indices: every label is a class name.
        (["1", "0"], {"train": ["1", "0"]}, {"train": [0, 1]}),
        (["2", "1", "0"], {"train": ["1.0", "0"]}, {"train": [1, 2]}),
        # Both readings give the same class.
        (["2", "1"], {"train": [1.0]}, {"train": [1]}),
        (["0", "1"], {"train": [1, 1]}, {"train": [1, 1]}),
        # Without a class name that looks like an index, splits may differ.
        (["ham", "spam"], {"train": ["spam"], "valid": [1]}, {"train": [1], "valid": [1]}),
        # A number is the same label in every format.
        (["ham", "spam"], {"train": ["1.0", 1.0, 1, True * 1]}, {"train": [1, 1, 1, 1]}),
        (["1.5", "2"], {"train": [1.5, "1.5", "2.0", 2]}, {"train": [0, 0, 1, 1]}),
        (["1.0", "2.0"], {"train": ["1.0", 1.0, 2]}, {"train": [0, 0, 1]}),
        (["001", "002"], {"train": ["002"]}, {"train": [1]}),
        (["ham", "spam"], {"train": [None, float("nan"), " ", "ham"]}, {"train": [None, None, None, 0]}),
    ],
)
def test_labels_are_read_alike_in_all_splits(classes, splits, expected) -> None:
    labels = read_labels(columns(splits), classes, AUTO)
    assert labels.by_split == expected
    assert not labels.notes


def test_labels_that_are_both_names_and_indices_need_a_choice() -> None:
    classes, found = ["1", "2", "3"], columns({"train": ["1", "2.0"], "valid": [2, 1.0]})
    with pytest.raises(DataError, match=r"are both class names and class indices .*set dataset\.labels=names, or"):
        read_labels(found, classes, AUTO)
    assert read_labels(found, classes, NAMES).by_split["train"] == [0, 1]
    assert read_labels(found, classes, INDICES).by_split["train"] == [1, 2]


@pytest.mark.parametrize(
    ("label", "reading", "message"),
    [
        ("egg", AUTO, r"train\.csv: row 2: the label 'egg' is unknown.*Indices 0\.\.1 are valid too"),
        ("01", AUTO, "the label '01' is unknown"),
        ("-1", AUTO, "the label '-1' is unknown.*Leave the field empty in a row without a label"),
        ("NaN", AUTO, "Leave the field empty"),
        ("2", INDICES, r"the label '2' is no class index; dataset\.labels=indices needs 0\.\.1"),
        ("ham", INDICES, "the label 'ham' is no class index"),
        ("1", NAMES, "the label '1' is unknown"),
        (["ham"], AUTO, "row 2 has the label .*; expected one class per row"),
        ("9" * 5000, AUTO, "is unknown"),
    ],
)
def test_an_unknown_label_is_named_with_its_row(label, reading, message) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(columns({"train": ["ham" if reading is not INDICES else "0", label]}), ["ham", "spam"], reading)


def test_case_and_blanks_of_a_name_are_matched_and_counted() -> None:
    labels = read_labels(columns({"train": ["SPAM", " ham", "ham"], "valid": ["Spam"]}), ["ham", "spam"], AUTO)
    assert labels.by_split == {"train": [1, 0, 0], "valid": [1]}
    assert labels.notes[0].startswith("Labels that differ from a class name only in case, blanks or Unicode form: 3;")
    both = ["Ham", "ham"]
    assert read_labels(columns({"train": ["ham", "Ham"]}), both, AUTO).by_split == {"train": [1, 0]}
    with pytest.raises(DataError, match="'HAM' is unknown"):
        read_labels(columns({"train": ["HAM"]}), both, AUTO)


@pytest.mark.parametrize(
    ("splits", "classes"),
    [
        ({"train": ["spam", "ham"], "test": ["egg", "ham"]}, ["egg", "ham", "spam"]),
        ({"train": ["10", "9", "1.0", 1]}, ["1", "9", "10"]),
        ({"train": ["-1", "1", "0.5"]}, ["-1", "0.5", "1"]),
        ({"train": ["Spam", "spam", "spam ", "ham"]}, ["ham", "spam"]),
        ({"train": [True, False]}, ["False", "True"]),
        ({"train": ["-0.0", "0", 1.0, -0.0]}, ["0", "1"]),
        ({"train": ["ham", "\u200fham", "ham\u200b", "h\u200bam", "spam", "\ufeff"]}, ["ham", "spam"]),
    ],
)
def test_classes_are_taken_from_the_labels_in_a_fixed_order(splits, classes) -> None:
    assert infer_classes(columns(splits).values(), AUTO) == classes
    assert infer_classes(columns({s: v[::-1] for s, v in splits.items()}).values(), AUTO) == classes


@pytest.mark.parametrize(
    ("values", "reading", "message"),
    [
        ([f"a text {i}" for i in range(50)], AUTO, r"50 different values in 50 labeled rows.*dataset\.label_column"),
        ([i % 101 for i in range(1000)], AUTO, "101 different values"),
        (["ham"] * 5, AUTO, "are 'ham'; set dataset.classes to all class names"),
        ([None, ""], AUTO, "dataset.classes must be given"),
        (["0", "1"], INDICES, "dataset.labels=indices needs the class names"),
    ],
)
def test_a_column_that_gives_no_classes_is_refused(values, reading, message) -> None:
    with pytest.raises(DataError, match=message):
        infer_classes(columns({"train": values}).values(), reading)


@pytest.mark.parametrize("text", ["nan", "None", " NULL ", "N/A", "#N/A", "#REF!", "#DIV/0!", "<NA>", "NaT", "?", "-"])
def test_a_text_for_a_missing_label_is_not_taken_as_a_class(text: str) -> None:
    found = columns({"train": ["ham", "spam"], "valid": ["ham", text]})
    with pytest.raises(
        DataError, match=r"valid\.csv: row 2: the label .*Leave the field empty in a row without a label"
    ):
        infer_classes(found.values(), AUTO)
    with pytest.raises(
        DataError, match=r"valid\.csv: row 2: the label .*Leave the field empty in a row without a label"
    ):
        read_labels(found, ["ham", "spam"], AUTO)
    assert read_labels(found, ["ham", "spam", text.strip()], AUTO).by_split["valid"] == [0, 2]


@pytest.mark.parametrize(
    ("train", "valid"),
    [([True, False], ["0", "1"]), ([0, 1], ["ham", "spam"]), (["ham", "spam"], ["no", "yes", "no", "no"])],
)
def test_classes_are_not_taken_from_splits_without_a_common_label(train, valid) -> None:
    with pytest.raises(DataError, match=r"the labels of .* are all different from those of .*dataset\.classes"):
        infer_classes(columns({"train": train, "valid": valid}).values(), AUTO)


def test_a_binary_label_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 2 has the label b'ham'; expected a text; store the column as strings"):
        infer_classes(columns({"train": [None, b"ham"]}).values(), AUTO)


@pytest.mark.parametrize("label", ["-1", "-1.0", -1, -1.0])
@pytest.mark.parametrize("classes", [["ham", "spam"], []])
def test_a_split_of_minus_one_is_unlabeled_in_every_format(label, classes: list[str]) -> None:
    found, notes = without_secret_labels(columns({"train": ["ham", "spam"], "test": [label, label]}), classes)
    assert found["test"].texts(AUTO) == [None, None]
    assert notes == ("Every label of test.csv is -1, which means no label: test is unlabeled.",)
    kept = columns({"train": [-1, 1], "test": [label, label]})
    assert without_secret_labels(kept, classes) == (kept, ())


@pytest.fixture
def load(composed):
    def load_path(path: Path, *overrides: str) -> TextData:
        base = ("dataset=files", "dataset.prompt=label", f"dataset.path={path}")
        return config.build(composed(*base, *overrides)).dataset.load()

    return load_path


def write_parquet(path: Path, names: list[str], labels: list[int]) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    rows = {"text": ["x"] * len(labels), "label": labels}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)


@pytest.mark.parametrize("classes", ["[ham,spam]", "[HAM,Spam]", "[]"])
def test_class_names_in_parquet_count_and_not_the_order_of_the_configuration(
    tmp_path: Path, load, classes: str
) -> None:
    write_parquet(tmp_path / "train.parquet", ["spam", "ham"], [0, 0, 1])
    (tmp_path / "valid.csv").write_text("text,label\nx,ham\n")
    data = load(tmp_path, f"dataset.classes={classes}")
    named = [data.task.classes[label].lower() for label in data.gold(Split.TRAIN)]
    assert named == ["spam", "spam", "ham"]
    assert data.task.classes[data.gold(Split.VALID)[0]].lower() == "ham"
    if classes == "[]":
        assert data.task.classes == ("spam", "ham")
        assert "The classes are taken from the labels: 0 = spam, 1 = ham." in data.notes[0]


def test_other_class_names_in_parquet_are_refused_unless_only_the_order_counts(tmp_path: Path, load) -> None:
    write_parquet(tmp_path / "a.parquet", ["neg", "pos"], [0, 1])
    with pytest.raises(DataError, match=r"The file itself has the class names neg, pos; .*dataset\.labels=indices"):
        load(tmp_path / "a.parquet", "dataset.classes=[negative,positive]")
    overrides = ("dataset.classes=[negative,positive]", "dataset.labels=indices")
    assert load(tmp_path / "a.parquet", *overrides).gold(Split.TRAIN).tolist() == [0, 1]


def test_class_names_in_parquet_decide_that_labels_are_names(tmp_path: Path, load) -> None:
    write_parquet(tmp_path / "a.parquet", ["1", "2", "3"], [0, 1])
    assert load(tmp_path / "a.parquet", "dataset.classes=[1,2,3]").gold(Split.TRAIN).tolist() == [0, 1]


def test_minus_one_of_a_class_label_is_an_unlabeled_row(tmp_path: Path, load) -> None:
    write_parquet(tmp_path / "train.parquet", ["ham", "spam"], [0, 1])
    write_parquet(tmp_path / "test.parquet", ["ham", "spam"], [-1, -1])
    data = load(tmp_path)
    assert data.gold(Split.TEST) is None
    assert data.gold(Split.TRAIN).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("own", "classes"), [(["spam", "ham"], "[ham,spam]"), (["1", "0"], "[0,1]"), (["1", "0"], "[]")]
)
def test_plain_indices_next_to_another_order_in_a_file_are_refused(tmp_path: Path, load, own, classes: str) -> None:
    write_parquet(tmp_path / "train.parquet", own, [0, 1, 0])
    (tmp_path / "test.csv").write_text("text,label\nx,0\ny,1\nz,0\n")
    with pytest.raises(
        DataError, match=r"the labels 0, 1 of .*test\.csv may be indices in the order of .*train\.parquet"
    ):
        load(tmp_path, f"dataset.classes={classes}")
    data = load(tmp_path, f"dataset.classes=[{','.join(own)}]", "dataset.labels=indices")
    assert data.gold(Split.TRAIN).tolist() == data.gold(Split.TEST).tolist() == [0, 1, 0]


def test_plain_indices_in_the_order_of_a_file_are_read(tmp_path: Path, load) -> None:
    write_parquet(tmp_path / "train.parquet", ["spam", "ham"], [0, 1, 0])
    (tmp_path / "test.csv").write_text("text,label\nx,0\ny,1\n")
    for classes in ("[spam,ham]", "[]"):
        data = load(tmp_path, f"dataset.classes={classes}")
        assert data.gold(Split.TRAIN).tolist() == [0, 1, 0]
        assert data.gold(Split.TEST).tolist() == [0, 1]


def test_the_limit_does_not_decide_what_labels_are(tmp_path: Path, load) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\nb,2\nc,0\n")
    assert load(tmp_path / "a.csv", "dataset.classes=[1,2,3]", "dataset.limit=2").gold(Split.TRAIN).tolist() == [1, 2]


@pytest.mark.parametrize("classes", ["[true,false]", "[1.0,2.0]", "[ham,null]"])
def test_class_names_that_are_no_texts_are_refused(composed, classes: str) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.classes has .* as item [12], and a class name is a text.*quotes"):
        config.build(composed("dataset=files", "dataset.prompt=p", "dataset.path=x", f"dataset.classes={classes}"))


@pytest.mark.parametrize(
    "names",
    ["no, yes", "on, off", "010, 020", "12:30, 12:45", "1.0, 2.0", "2026-01-31, a", "null, a", "~, a", "1_0, 2"],
)
@pytest.mark.parametrize("member", ["dataset", "experiment"])
def test_class_names_that_yaml_converts_are_refused_with_the_quoted_form(
    tmp_path: Path, names: str, member: str
) -> None:
    (tmp_path / member).mkdir()
    text = {
        "dataset": f"defaults: [_files, _columns, _self_]\nname: mine\nclasses: [{names}]\n",
        "experiment": f"# @package _global_\ndataset:\n  classes: [{names}]\n",
    }
    (tmp_path / member / "mine.yaml").write_text(text[member])
    quoted = ", ".join(f'"{name}"' for name in names.split(", "))
    with pytest.raises(ConfigError) as caught:
        config.compose([], directory=tmp_path)
    assert str(caught.value).endswith(f"put the names in quotes: classes: [{quoted}]")
    assert "mine.yaml, line 3: the class name" in str(caught.value)
    text[member] = text[member].replace(names, quoted)
    (tmp_path / member / "mine.yaml").write_text(text[member])
    assert config.compose([], directory=tmp_path)
