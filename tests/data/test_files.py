"""The user's own files: every format, and one sentence with the row for whatever is wrong."""

import json
import os
import re
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.overrides import typed
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData

BASE = ("dataset=files", "dataset.classes=[ham,spam]", "dataset.prompt=label")


@pytest.fixture
def load(composed):
    def load_path(path: Path, *overrides: str) -> TextData:
        return config.build(composed(*BASE, f"dataset.path={path}", *overrides)).dataset.load()

    return load_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_formats_give_the_same_rows(tmp_path: Path, load) -> None:
    import pandas

    texts, labels = ['a "quoted", one', "two\nlines", "NA", "é 😀 001"], ["ham", "spam", "spam", "ham"]
    frame = pandas.DataFrame({"text": texts, "label": labels})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "a.parquet")
    rows = [json.dumps({"text": t, "label": c}, ensure_ascii=False) for t, c in zip(texts, labels, strict=True)]
    write(tmp_path / "a.jsonl", "\n".join(rows) + "\n\n")
    for ending in ("csv", "tsv", "parquet", "jsonl"):
        data = load(tmp_path / f"a.{ending}")
        assert data.texts(Split.TRAIN) == texts
        assert data.gold(Split.TRAIN).tolist() == [0, 1, 1, 0]
        assert data.splits == (Split.TRAIN,)


def test_a_folder_has_an_unlabeled_train_and_labeled_others(tmp_path: Path, load) -> None:
    write(tmp_path / "train.jsonl", '{"text": "a"}\n{"text": null}\n{"other": 1}\n')
    write(tmp_path / "validation.csv", "text,label\nb,1\n")
    write(tmp_path / "test.tsv", "label\ttext\nspam\tc\n")
    data = load(tmp_path)
    assert data.splits == (Split.TRAIN, Split.VALID, Split.TEST)
    assert data.texts(Split.TRAIN) == ["a", "", ""]
    assert data.gold(Split.TRAIN) is None
    assert data.gold(Split.VALID).tolist() == [1]
    assert data.gold(Split.TEST).tolist() == [1]


def test_a_folder_of_text_files_is_a_row_each(tmp_path: Path, load) -> None:
    write(tmp_path / "b.txt", "second")
    write(tmp_path / "a.txt", "first")
    write(tmp_path / "c.TXT", "third")
    write(tmp_path / ".b.txt", "hidden")
    assert load(tmp_path).texts(Split.TRAIN) == ["first", "second", "third"]
    os.mkfifo(tmp_path / "d.txt")
    with pytest.raises(DataError, match=r"d\.txt is not a regular file"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.symlink_to("absent.csv"), "a link to a missing file"),
        (os.mkfifo, "not a regular file"),
        (Path.mkdir, "a directory"),
    ],
)
@pytest.mark.parametrize("name", ["test.csv", "Val.jsonl.gz", "train.parquet"])
def test_a_split_that_is_no_file_is_an_error(tmp_path: Path, load, make, kind: str, name: str) -> None:
    if not name.startswith("train"):
        write(tmp_path / "train.csv", "text\na\n")
    make(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} is {kind}, so its rows cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["test.xls", "test.csv.zst", "valid.zip", "Dev.txt", "test.csv.bak"])
def test_a_split_in_a_format_that_is_not_read_is_an_error_unless_another_file_has_it(
    tmp_path: Path, load, name: str
) -> None:
    write(tmp_path / "train.csv", "text\na\n")
    write(tmp_path / "test.py", "")
    assert load(tmp_path).notes == ()
    write(tmp_path / name, "")
    with pytest.raises(
        DataError, match=rf"has {name} for the split (test|valid), which cannot be read; save the rows as"
    ):
        load(tmp_path)
    write(tmp_path / f"{'test' if name.startswith('test') else 'valid'}.csv", "text,label\na,ham\n")
    assert f"that are not read: {name};" in load(tmp_path).notes[0]


@pytest.mark.parametrize("labels", [["spam", " ham ", "ham"], ["1", "0", "0"], ["1.0", "0", "0.0"]])
def test_labels_by_name_or_by_index(tmp_path: Path, load, labels: list[str]) -> None:
    rows = [json.dumps({"text": "x", "label": float(c) if "." in c else c}) for c in labels]
    write(tmp_path / "a.jsonl", "\n".join(rows))
    assert load(tmp_path / "a.jsonl").gold(Split.TRAIN).tolist() == [1, 0, 0]


def test_a_byte_order_mark_and_other_column_names(tmp_path: Path, load) -> None:
    (tmp_path / "a.csv").write_bytes("\ufeffcomment,class\nx,ham\n".encode())
    data = load(tmp_path / "a.csv", "dataset.text_column=comment", "dataset.label_column=class")
    assert data.texts(Split.TRAIN) == ["x"]
    assert data.gold(Split.TRAIN).tolist() == [0]


def test_limit_takes_the_head_of_each_split(tmp_path: Path, load) -> None:
    write(tmp_path / "a.csv", "text\na\nb\nc\n")
    assert load(tmp_path / "a.csv", "dataset.limit=2").texts(Split.TRAIN) == ["a", "b"]


def test_lone_surrogates_are_replaced(tmp_path: Path, load) -> None:
    write(tmp_path / "a.jsonl", '{"text": "x\\ud800y"}\n')
    assert load(tmp_path / "a.jsonl").texts(Split.TRAIN) == ["x?y"]


WRONG = {
    "label": (
        "a.csv",
        "text,label\na,ham\nb,egg\n",
        r"a\.csv: row 2: the label 'egg' is unknown\. Known: ham, spam\. Indices 0\.\.1 are valid too",
    ),
    "id": ("a.csv", "text,label\na,2\n", r"row 1: the label '2' is unknown"),
    "no text": ("a.csv", "body,label\na,ham\n", r"no column 'text'; it has 'body', 'label'.*dataset\.text_column"),
    "empty": ("a.csv", "", r"a\.csv cannot be read: it is empty"),
    "no rows": ("a.csv", "text\n", r"a\.csv has no rows"),
    "ragged": (
        "a.csv",
        "text,label\na,ham\nb,ham,1,2\n",
        r"line 3 has 4 fields and the header 2; put double quotes around a text with commas",
    ),
    "trailing comma": ("a.csv", "text,label\na,ham,\nb,spam,\n", r"line 2 has 3 fields and the header 2"),
    "stray quote": ("a.tsv", 'text\tlabel\n"hello\tspam\nwin "money" now\tham\n', r"line 3: .*double a quote"),
    "open quote": ("a.csv", 'text,label\n"hello,spam\n', r"line 2: .*double a quote"),
    "same names": ("a.csv", "text,text\na,b\n", "two columns have the same name"),
    "mixed labels": ("a.csv", "text,label\na,spam\nb,1\n", r"row 2: the label '1' is unknown"),
    "deep": ("a.jsonl", '{"text": ' + "[" * 100_000 + "\n", "line 1 is not JSON"),
    "no votes": ("a.jsonl", '{"text": "a", "v": []}\n', "row 1 has no votes"),
    "a vote that is no list": ("a.jsonl", '{"text": "a", "v": 1}\n', "row 1 has 1; expected a list of votes"),
    "json": ("a.jsonl", '{"text": "a"}\n{"text": \n', r"line 2 is not JSON"),
    "json list": ("a.jsonl", "[1]\n", r"line 1 is not a JSON object"),
    "number": ("a.jsonl", '{"text": "a"}\n{"text": 5}\n', r"row 2 has int '5'; expected a text"),
    "parquet": ("a.parquet", "not parquet", r"a\.parquet cannot be read: .*[Pp]arquet"),
    "ending": (
        "a.docx",
        "x",
        r"has the extension '\.docx'; expected \.csv, \.tsv, \.jsonl, \.ndjson, \.json, \.parquet, \.xlsx",
    ),
    "votes": (
        "a.jsonl",
        '{"text": "a", "v": [0, 1]}\n{"text": "b", "v": [0]}\n',
        r"row 2 has 1 votes, but row 1 has 2",
    ),
    "vote": ("a.jsonl", '{"text": "a", "v": [0, 5]}\n', r"row 1 has a vote outside -1\.\.1: \[0, 5\]"),
    "vote type": ("a.jsonl", '{"text": "a", "v": [0, "x"]}\n', r"row 1 has a vote outside"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, load, case: str) -> None:
    name, content, message = WRONG[case]
    with pytest.raises(DataError, match=message) as caught:
        load(write(tmp_path / name, content), "dataset.human_votes_column=v")
    assert "\n" not in str(caught.value)


def test_labels_are_all_names_or_all_indices(tmp_path: Path, composed) -> None:
    def gold(labels: str, classes: str) -> list[int]:
        path = write(tmp_path / "a.csv", "text,label\n" + "".join(f"x,{label}\n" for label in labels.split()))
        overrides = (*BASE[:1], f"dataset.classes={classes}", BASE[2], f"dataset.path={path}")
        return config.build(composed(*overrides)).dataset.load().gold(Split.TRAIN).tolist()

    assert gold("0 1 2", "['1','2','3']") == [0, 1, 2]
    assert gold("1 2 3", "['1','2','3']") == [0, 1, 2]
    assert gold("1 0 1", "['1','0']") == [0, 1, 0]


@pytest.mark.parametrize("name", ["valid", "validation", "val", "dev", "eval", "Valid"])
def test_a_validation_split_has_many_names(tmp_path: Path, load, name: str) -> None:
    write(tmp_path / "train.csv", "text\na\n")
    write(tmp_path / f"{name}.CSV", "text,label\nb,spam\n")
    assert load(tmp_path).gold(Split.VALID).tolist() == [1]


def test_files_that_are_not_read_are_named(tmp_path: Path, load) -> None:
    write(tmp_path / "train.csv", "text\na\n")
    for name in ("manifest.json", "README.md", ".hidden.csv"):
        write(tmp_path / name, "")
    assert load(tmp_path).notes == ()
    for name in ("holdout.csv", "train_old.tsv"):
        write(tmp_path / name, "text\na\n")
    assert (
        "that are not read: holdout.csv, train_old.tsv; files of splits are called train, valid"
        in (load(tmp_path).notes[0])
    )
    (tmp_path / "train.csv").unlink()
    with pytest.raises(
        DataError, match=r"no training split \(it has holdout.csv, train_old.tsv; a single file is named"
    ):
        load(tmp_path)


@pytest.mark.parametrize("header", ["Label", " label", "labels", "LABEL ", "lable"])
def test_a_header_that_nearly_is_the_label_column_is_named(tmp_path: Path, load, header: str) -> None:
    write(tmp_path / "train.csv", "text\na\n")
    write(tmp_path / "test.csv", f"text,{header}\na,ham\n")
    suggested = typed("dataset.label_column", header)
    with pytest.raises(DataError, match=re.escape(f"test.csv has '{header}'; set {suggested}, or")):
        load(tmp_path)
    assert load(tmp_path, "dataset.label_column=null").gold(Split.TEST) is None


@pytest.mark.parametrize("header", ["Text", " text", "texts"])
def test_a_header_that_nearly_is_the_text_column_is_named(tmp_path: Path, load, header: str) -> None:
    path = write(tmp_path / "a.csv", f"{header},label\na,ham\n")
    with pytest.raises(DataError, match=rf"no column 'text' \(did you mean '{header}'\?\); it has"):
        load(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "text,Label",
            r"some splits have the column 'label', but .*test\.csv has 'Label'; rename the column to 'label'",
        ),
        ("Text,label", r"test\.csv has no column 'text' .*Rename the column of the texts to 'text' in every file\."),
    ],
)
def test_a_header_that_differs_between_splits_is_to_be_renamed(tmp_path: Path, load, header: str, message: str) -> None:
    write(tmp_path / "train.csv", "text,label\na,ham\n")
    write(tmp_path / "test.csv", f"{header}\na,ham\n")
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert "dataset." not in str(caught.value)


def test_splits_without_labels_are_said(tmp_path: Path, load) -> None:
    write(tmp_path / "train.csv", "text,id\na,1\n")
    assert load(tmp_path).notes[0].startswith("No row has a label: no column is called 'label'. If one of 'id' has")
    write(tmp_path / "valid.csv", "text,label\na,ham\n")
    assert load(tmp_path).notes == ("There are no labels on train: no column is called 'label' there.",)


def test_a_split_with_some_labels_is_refused(tmp_path: Path, load) -> None:
    write(tmp_path / "train.csv", "text,label\na,ham\nb,\n")
    write(tmp_path / "test.csv", "text,label\na,ham\n")
    with pytest.raises(
        DataError, match=r"row 2 has no label, but other rows have one \(1 of 2 have none\); label every"
    ):
        load(tmp_path)


LABELED = "".join(f"text {i},{'spam' if i % 4 == 0 else 'ham'}\n" for i in range(40))
UNLABELED = "".join(f"other {i},\n" for i in range(60))


@pytest.mark.parametrize("name", ["a.csv", "train.csv"])
@pytest.mark.parametrize(
    ("rows", "share", "sizes", "note"),
    [
        (UNLABELED + LABELED, 0, {"train": (60, None), "valid": (40, 10)}, "have a label .40. are valid"),
        (LABELED + UNLABELED, 0.5, {"train": (60, None), "valid": (20, 5), "test": (20, 5)}, "are divided by"),
        (LABELED, 0.2, {"train": (24, 6), "valid": (8, 2), "test": (8, 2)}, "are divided by"),
        (LABELED, 0, {"train": (40, 10)}, r"no score is on unseen rows; dataset\.test_share=0\.2"),
        (UNLABELED, 0, {"train": (60, None)}, None),
    ],
)
def test_a_single_file_becomes_splits_by_its_labels(tmp_path: Path, load, name, rows, share, sizes, note) -> None:
    path = write(tmp_path / name, "text,label\n" + rows)
    data = load(path if name == "a.csv" else tmp_path, f"dataset.test_share={share}")
    golds = {split.value: data.gold(split) for split in data.splits}
    assert {
        split: (len(data.texts(split)), None if gold is None else gold.sum()) for split, gold in golds.items()
    } == sizes
    texts = [text for split in data.splits for text in data.texts(split)]
    assert len(texts) == len({*texts}) == rows.count("\n")
    assert len(data.notes) == (note is not None)
    assert note is None or re.search(note, data.notes[0])


@pytest.mark.parametrize("empty", [",\n", ",\n,\n", " ,\n", "\u200b,\n"])
@pytest.mark.parametrize("share", [0, 0.2])
def test_empty_rows_do_not_alter_what_a_labeled_file_is_divided_into(tmp_path: Path, load, share, empty: str) -> None:
    without = load(write(tmp_path / "a.csv", "text,label\n" + LABELED), f"dataset.test_share={share}")
    first, *others = LABELED.splitlines(keepends=True)
    for rows in (LABELED + empty, first + empty + "".join(others)):
        data = load(write(tmp_path / "a.csv", "text,label\n" + rows), f"dataset.test_share={share}")
        lines = rows.splitlines()
        for split in without.splits:
            assert data.texts(split) == without.texts(split)
            assert [lines[row].split(",")[0] for row in data.rows_of_input(split)] == list(data.texts(split))
        assert f"without a text and without a label are left out: {empty.count(',')} (the first is row" in data.notes[0]


def test_few_rows_of_train_are_said(tmp_path: Path, load) -> None:
    data = load(write(tmp_path / "a.csv", "text,label\n" + LABELED + "last,\n,\n"))
    assert len(data.texts(Split.TRAIN)) == 2
    assert "Only 1 row of " in data.notes[0]
    assert "train (40 have one); if that is not meant, label or remove it." in data.notes[0]


def test_equal_files_are_divided_equally_in_any_order(tmp_path: Path, load) -> None:
    lines = LABELED.splitlines()
    found = []
    for order in (lines, lines[::-1]):
        path = write(tmp_path / "a.csv", "text,label\n" + "\n".join(order))
        found.append(sorted(load(path, "dataset.test_share=0.25").texts(Split.TEST)))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("rows", "share", "message"),
    [
        ("a,ham\nb,\n", 0.5, r"divides the 1 labeled rows of .* into 1 train, 1 valid, 0 test; each split needs"),
        ("a,ham\nb,ham\n", 0.5, "into 0 train, 1 valid, 1 test"),
        ("a,\nb,\n", 0.5, "needs labels, and .* has none"),
    ],
)
def test_a_share_that_leaves_a_split_empty_is_refused(tmp_path: Path, load, rows, share, message) -> None:
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "a.csv", "text,label\n" + rows), f"dataset.test_share={share}")


def test_a_share_of_data_with_splits_is_refused(tmp_path: Path, load) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.csv", "text,label\na,ham\n")
    with pytest.raises(
        DataError, match=r"dataset\.test_share=0\.2 is for data without splits, and files has train, test"
    ):
        load(tmp_path, "dataset.test_share=0.2")


def test_human_votes_are_as_wide_in_every_split(tmp_path: Path, load) -> None:
    write(tmp_path / "train.jsonl", '{"text": "a", "v": [0, 1]}\n')
    write(tmp_path / "test.jsonl", '{"text": "a", "v": [0]}\n')
    with pytest.raises(DataError, match="1 human votes per row on test and 2 on train"):
        load(tmp_path, "dataset.human_votes_column=v")


def test_a_label_column_asked_for_by_name_must_be_there(tmp_path: Path, load) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,ham\n")
    with pytest.raises(
        DataError,
        match=r"dataset.label_column='lable' is in no split \(did you mean 'label'\?\); the columns are 'label', 'te",
    ):
        load(path, "dataset.label_column=lable")


def test_an_unreadable_encoding_says_so(tmp_path: Path, load) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"is not UTF-8 .*save it as UTF-8"):
        load(tmp_path / "a.csv")


def test_missing_paths_and_splits_say_what_is_needed(tmp_path: Path, load) -> None:
    with pytest.raises(
        DataError, match=r"absent' does not exist; set dataset.path to the file or directory of 'files'"
    ):
        load(tmp_path / "absent")
    with pytest.raises(DataError, match=r"has no training split; it needs train\.csv"):
        load(tmp_path)
    write(tmp_path / "train.csv", "text\na\n")
    write(tmp_path / "train.tsv", "text\na\n")
    with pytest.raises(DataError, match=r"train\.csv and train\.tsv for the split train; keep only one"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.classes=[ham]", "1 names; expected 2 to 100"),
        ("dataset.classes=[a,a]", "has an empty or repeated name"),
        ("dataset.positive_class=egg", "'egg' is not in dataset.classes"),
        ("dataset.metric=f1", "needs dataset.positive_class"),
        ("dataset.limit=0", "dataset.limit=0"),
        ("dataset.path=' '", "dataset.path is empty"),
        ("dataset.test_share=1", r"dataset\.test_share=1; expected a share"),
        ("dataset.encoding=klingon", "dataset.encoding='klingon' is unknown"),
        ("dataset.encoding=base64", "dataset.encoding='base64' is unknown"),
        ("dataset.label_column=text", "dataset.label_column and dataset.text_column are both 'text'"),
    ],
)
def test_wrong_values_are_one_sentence(composed, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(composed(*BASE, "dataset.path=x", override))
