"""Datasets made from raw files: each published form, small and made up, whole and broken."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp import config
from alchemist_exp.core.errors import DataError, StoreError
from alchemist_exp.core.types import Split
from alchemist_exp.data.files import FilesDataset
from alchemist_exp.data.split_files import PREPARED
from alchemist_exp.data.text_data import TextData
from alchemist_exp.data_prep.prepare import MANIFEST, Prepared, count_repeats, prepare
from alchemist_exp.data_prep.raw import RawRow
from alchemist_exp.data_prep.recipes import RECIPES
from alchemist_exp.data_prep.split import Sizes, apportion, divide

ROWS = 12
"""Rows of a made-up file whose publisher has not split it; of two classes six each, of three four each."""

PAPER = {
    "youtube": 1586,
    "sms": 4571,
    "yelp": 30400,
    "imdb": 20000,
    "medabs": 10395,
    "cancer": 5450,
    "finance": 3488,
    "french": 6953,
}


def texts(*spelled: str) -> list[tuple[str, str]]:
    """Made-up texts and labels: commas, quotes, line breaks and a letter that Latin-1 and UTF-8 write differently."""
    return [(f'text {i}, "quoted" é', spelled[i % len(spelled)]) for i in range(ROWS)]


def csv_file(path: Path, header: list[str], rows: list[list[str]], encoding: str = "utf-8") -> Path:
    def line(fields: list[str]) -> str:
        return ",".join('"' + field.replace('"', '""') + '"' for field in fields) + "\r\n"

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line(fields) for fields in ([header] if header else []) + rows).encode(encoding))
    return path


def youtube(folder: Path) -> list[Path]:
    for number, half in ((1, texts("1", "0")[:7]), (2, texts("1", "0")[7:])):
        rows = [["id", "author", "2015", text, label] for text, label in half]
        csv_file(folder / f"Youtube0{number}.csv", ["COMMENT_ID", "AUTHOR", "DATE", "CONTENT", "CLASS"], rows)
    return [folder]


def sms(folder: Path) -> list[Path]:
    file = folder / "SMSSpamCollection"
    file.write_bytes("".join(f"{label}\t{text}\u2028more\n" for text, label in texts("ham", "spam")).encode())
    return [file]


def yelp(folder: Path) -> list[Path]:
    rows = [[label, text.replace('"', '\\"') + r" one\ntwo"] for text, label in texts("1", "2")]
    return [csv_file(folder / "test.csv", [], rows)]


def imdb_folder(folder: Path) -> list[Path]:
    for i, (text, label) in enumerate(texts("neg", "pos")):
        file = folder / "aclImdb" / "train" / label / f"{i}_7.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}<br /><br />end", encoding="utf-8")
    return [folder / "aclImdb"]


def imdb_kaggle(folder: Path) -> list[Path]:
    rows = [[f"{text}<br /><br />end", label] for text, label in texts("negative", "positive")]
    return [csv_file(folder / "IMDB Dataset.csv", ["review", "sentiment"], rows)]


def medabs(folder: Path) -> list[Path]:
    header, rows = ["condition_label", "medical_abstract"], [[c, text] for text, c in texts("1", "2", "3", "4", "5")]
    train = csv_file(folder / "medical_tc_train.csv", header, rows[:10])
    test = csv_file(folder / "medical_tc_test.csv", header, rows[:5])
    return [train, test]


def cancer(folder: Path) -> list[Path]:
    labels = texts("Thyroid_Cancer", "Colon_Cancer", "Lung_Cancer")
    rows = [[str(i), label, text] for i, (text, label) in enumerate(labels)]
    return [csv_file(folder / "alldata_1_for_kaggle.csv", ["", "0", "a"], rows, "latin-1")]


def finance(folder: Path) -> list[Path]:
    file = folder / "Sentences_50Agree.txt"
    lines = [f"{text} a@b@{label}\r\n" for text, label in texts("positive", "neutral", "negative")]
    file.write_bytes("".join(lines).encode("latin-1"))
    return [file]


def french(folder: Path) -> list[Path]:
    rows = [["a book", text, "4,0", label] for text, label in texts("-1", "0", "1")] + [["a book", " ", "4,0", "1"]]
    return [csv_file(folder / "french_books_reviews.csv", ["book_title", "reader_review", "rating", "label"], rows)]


def wrench(folder: Path) -> list[Path]:
    for split, n in (("train", 6), ("valid", 2), ("test", 4)):
        rows = {
            str(i): {"label": i % 2, "weak_labels": [-1, i % 2], "data": {"text": f"{split} {i} é"}} for i in range(n)
        }
        (folder / f"{split}.json").write_text(json.dumps(rows), encoding="utf-8")
    return [folder]


THIRDS, HALVES = Sizes(6, 3), Sizes(6, 2, 2)
FORMS: dict[str, tuple[str, Callable[[Path], list[Path]], Sizes, tuple[int, int, int]]] = {
    "youtube": ("youtube", youtube, THIRDS, (6, 3, 3)),
    "youtube of WRENCH": ("youtube", wrench, THIRDS, (6, 2, 4)),
    "sms": ("sms", sms, THIRDS, (6, 3, 3)),
    "sms of WRENCH": ("sms", wrench, THIRDS, (6, 2, 4)),
    "yelp": ("yelp", yelp, HALVES, (6, 2, 2)),
    "yelp of WRENCH": ("yelp", wrench, HALVES, (6, 2, 4)),
    "imdb": ("imdb", imdb_folder, HALVES, (6, 2, 2)),
    "imdb of Kaggle": ("imdb", imdb_kaggle, HALVES, (6, 2, 2)),
    "imdb of WRENCH": ("imdb", wrench, HALVES, (6, 2, 4)),
    "medabs": ("medabs", medabs, Sizes(5, 5, 0), (5, 5, 5)),
    "cancer": ("cancer", cancer, THIRDS, (6, 3, 3)),
    "finance": ("finance", finance, THIRDS, (6, 3, 3)),
    "french": ("french", french, THIRDS, (6, 3, 3)),
}


@cache
def described(name: str) -> FilesDataset:
    """The dataset as conf describes it; composed once, for it takes a while."""
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        dataset = config.build(compose("config", overrides=[f"dataset={name}"])).dataset
    assert isinstance(dataset, FilesDataset)
    return dataset


@pytest.fixture
def make(tmp_path: Path):
    """Prepares one form as small as it is here, into tmp_path/out."""

    def prepare_form(form: str, paths: list[Path], out: Path = tmp_path / "out", *, force: bool = False) -> Prepared:
        name, _, sizes, _ = FORMS[form]
        recipe = replace(RECIPES[name], sizes=sizes)
        return prepare(name, recipe, paths, classes=described(name).classes, out=out, force=force)

    return prepare_form


@pytest.fixture
def raw(tmp_path: Path):
    def write_form(form: str) -> list[Path]:
        folder = tmp_path / "raw"
        folder.mkdir()
        return FORMS[form][1](folder)

    return write_form


def loaded(made: Prepared) -> TextData:
    return replace(described(made.directory.name), path=str(made.directory)).load()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_becomes_splits_that_load(make, raw, form: str) -> None:
    made = make(form, raw(form))
    data, sizes = loaded(made), FORMS[form][3]
    assert tuple(len(data.texts(split)) for split in Split) == sizes
    assert sorted(path.name for path in made.directory.iterdir()) == sorted(
        [MANIFEST, "train.parquet", "valid.parquet", "test.parquet"]
    )
    everything = [text for split in Split for text in data.texts(split)]
    assert all("é" in text for text in everything)
    assert not any("<br" in text or "\\n" in text or '\\"' in text for text in everything)
    manifest = json.loads((made.directory / MANIFEST).read_text(encoding="utf-8"))
    assert manifest == made.manifest
    for split, size in zip(Split, sizes, strict=True):
        said, gold = manifest["splits"][split], data.gold(split)
        assert said["rows"] == sum(said["classes"].values()) == size
        assert Counter(data.task.classes[i] for i in gold) == +Counter(said["classes"])
    assert all(len(file["sha256"]) == 64 and file["bytes"] > 0 for file in manifest["source"]["files"])
    assert any("were published" in note for note in manifest["notes"]), "made-up files are smaller, and it is said"
    assert "raw" not in json.dumps(manifest["source"]["files"]), "no path of this machine"


FIRST = {
    "youtube": "spam",
    "sms": "ham",
    "yelp": "negative",
    "imdb": "negative",
    "imdb of Kaggle": "negative",
    "medabs": "neoplasms",
    "cancer": "thyroid cancer",
    "finance": "positive",
    "french": "negative",
}
"""What the made-up texts 0, k, 2k, ... of k classes are."""


@pytest.mark.parametrize("form", FIRST)
def test_labels_keep_to_their_texts(make, raw, form: str) -> None:
    data = loaded(make(form, raw(form)))
    classes = data.task.classes
    for split in Split:
        for text, label in zip(data.texts(split), data.gold(split), strict=True):
            number = int(text.split(",")[0].removeprefix("text "))
            assert (classes[label] == FIRST[form]) == (number % len(classes) == 0)


def test_wrench_keeps_its_order_and_its_votes_where_they_are_sound(make, raw) -> None:
    paths = raw("youtube of WRENCH")
    data = loaded(make("youtube of WRENCH", paths))
    assert data.texts(Split.TRAIN) == [f"train {i} é" for i in range(6)]
    assert data.human_votes(Split.TEST).tolist() == [[-1, 0], [-1, 1], [-1, 0], [-1, 1]]
    data = loaded(make("sms of WRENCH", [paths[0] / f"{s}.json" for s in ("test", "train", "valid")]))
    assert data.human_votes(Split.TRAIN).shape == (6, 2)
    assert data.human_votes(Split.VALID) is data.human_votes(Split.TEST) is None
    made = make("yelp of WRENCH", paths)
    assert any("human_votes_column=weak_labels" in note for note in made.manifest["notes"])


def test_the_same_files_give_the_same_bytes_in_any_order(make, raw, tmp_path: Path) -> None:
    folder = raw("youtube")[0]
    files = sorted(folder.iterdir())
    once, again = make("youtube", files), make("youtube", files[::-1], tmp_path / "again")
    for split in Split:
        assert (once.directory / f"{split}.parquet").read_bytes() == (again.directory / f"{split}.parquet").read_bytes()
    assert make("youtube", files, tmp_path / "thrice").manifest == once.manifest
    assert (tmp_path / "thrice/youtube" / MANIFEST).read_bytes() == (once.directory / MANIFEST).read_bytes()


def test_an_empty_review_is_dropped_with_a_note(make, raw) -> None:
    notes = make("french", raw("french")).manifest["notes"]
    assert "Rows without text, dropped: 1." in notes
    assert "The source has 13 rows, but 9,658 were published." in notes


def test_rows_that_no_split_takes_are_counted(make, raw) -> None:
    assert "Rows in no split: 2." in make("yelp", raw("yelp")).manifest["notes"]


def test_what_was_made_is_replaced_only_when_asked(make, raw, tmp_path: Path) -> None:
    paths = raw("sms")
    made = make("sms", paths)
    with pytest.raises(StoreError, match=r"sms exists already; use --overwrite"):
        make("sms", paths)
    paths[0].write_text(paths[0].read_text(encoding="utf-8").replace("text 1,", "other 1,"), encoding="utf-8")
    assert make("sms", paths, force=True).manifest != made.manifest
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sms"], "nothing is left beside it"
    (made.directory / "mine.csv").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match=r"contains mine\.csv, which this script did not make"):
        make("sms", paths, force=True)
    (made.directory / "mine.csv").unlink()
    (made.directory / MANIFEST).unlink()
    with pytest.raises(
        StoreError, match=r"contains test\.parquet, train\.parquet, valid\.parquet, which this script did not make"
    ):
        make("sms", paths, force=True)
    (tmp_path / "out" / "yelp").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match=r"yelp is a file"):
        make("yelp", paths, force=True)


def test_nothing_is_left_of_a_dataset_that_could_not_be_made(make, raw, tmp_path: Path, monkeypatch) -> None:
    paths = raw("sms")
    before = make("sms", paths).manifest
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "disk full")))
    for out, force in ((tmp_path / "out", True), (tmp_path / "new", False)):
        with pytest.raises(StoreError, match=r"could not be written: disk full; set another --out"):
            make("sms", paths, out, force=force)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sms"]
    assert list((tmp_path / "new").iterdir()) == []
    assert json.loads((tmp_path / "out/sms" / MANIFEST).read_text(encoding="utf-8")) == before


BROKEN = {
    "unknown label, CSV": (("cancer", "Lung_Cancer", "Skin"), r"csv: line 4: the label 'Skin' is unknown"),
    "unknown label, lines": (("finance", "@negative", "@bad"), r"50Agree\.txt: line 3: the label 'bad' is unknown"),
    "unknown label, yelp": (("yelp", '"2"', '"3"'), r"test\.csv: line 2: the label '3' is unknown"),
    "wrong columns": (("french", "reader_review", "text"), r"no column 'reader_review'; its first line has"),
    "a field too many": (("imdb of Kaggle", '"positive"', '"positive","x"'), r"line 3 has 3 fields and the header 2"),
    "a field too many, yelp": (("yelp", '"2",', '"2","x",'), r"line 2 has 3 fields; expected a label and a review"),
    "an open quote": (("medabs", '"5","', '"5"x"'), r"train\.csv: the record at line 6 is not CSV"),
    "no separator": (("sms", "spam\t", "spam "), r"line 2 has no '\\t' between label and text"),
    "not UTF-8": (("sms", "é", "\udce9"), r"SMSSpamCollection is not in utf-8 \(byte 21\)"),
    "no class": (("sms", "spam\t", "ham\t"), r"train would have no row of spam"),
    "not JSON": (("youtube of WRENCH", "{", ""), r"train\.json is not JSON"),
    "another JSON": (("youtube of WRENCH", '"data"', '"datum"'), r"row '0' has no \"label\", \"weak_labels\" or"),
    "a label, JSON": (("youtube of WRENCH", '"label": 1', '"label": 2'), r"row '1' has the label 2; expected 0\.\.1"),
    "a vote": (("youtube of WRENCH", "[-1, 1]", "[-1, 5]"), r"row '1' has weak_labels \[-1, 5\]; expected a list"),
    "ragged votes": (("youtube of WRENCH", "[-1, 1]", "[-1]"), r"rows of 1 and of 2 weak_labels"),
    "a number": (("youtube of WRENCH", '"text": "train 1 \\u00e9"', '"text": 1'), r"row '1' has int; expected a text"),
    "a list": (("youtube of WRENCH", None, "[]"), r"train\.json is not a JSON object of rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_one_sentence_and_nothing_is_written(make, raw, tmp_path: Path, case: str) -> None:
    (form, find, put), message = BROKEN[case]
    paths = raw(form)
    for file in [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]:
        encoding = "latin-1" if form in ("cancer", "finance") else "utf-8"
        content = put if find is None else file.read_bytes().decode(encoding).replace(find, put)
        file.write_bytes(content.encode(encoding, "surrogateescape"))
    with pytest.raises(DataError, match=message) as caught:
        make(form, paths)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_paths_that_are_no_source_say_what_would_do(make, raw, tmp_path: Path) -> None:
    (file,) = raw("sms")
    archive = tmp_path / "sms+spam+collection.zip"
    archive.write_bytes(b"PK")
    for paths, message in (
        (
            [tmp_path / "absent"],
            r"absent does not exist; expected train\.json, valid\.json and test\.json of WRENCH, or the",
        ),
        ([archive], r"zip is an archive; unpack it\. Expected train\.json"),
        ([tmp_path], r"does not have the raw files of sms; expected train\.json"),
        ([file, file.parent / ".." / "raw" / file.name], r"names a file twice"),
    ):
        with pytest.raises(DataError, match=message):
            make("sms", paths)
    with pytest.raises(DataError, match=r"expected one file with 'train' in its name, but .*test\.json has 0"):
        make("sms of WRENCH", [wrench(tmp_path)[0] / "test.json"])


def test_a_truncated_file_is_refused(make, raw) -> None:
    (file,) = raw("sms")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:9]))
    with pytest.raises(DataError, match=r"has 9 rows with text, but 10 are needed; download the complete file"):
        make("sms", [file])


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_split_as_the_paper_does(name: str) -> None:
    recipe, dataset = RECIPES[name], described(name)
    assert recipe.sizes.train == PAPER[name]
    for source in recipe.sources:
        assert source.where.startswith("https://")
        assert source.license
        unsplit = source.rows.get(None, source.rows.get(Split.TRAIN))
        assert unsplit >= (recipe.sizes.total if len(source.rows) < 3 else recipe.sizes.train)
    if dataset.hub is not None:
        wrench_files = [f"classification/{name}/{split}.json" for split in Split]
        assert dataset.hub.files == ([] if name == "medabs" else wrench_files)


def test_every_text_dataset_of_the_paper_has_a_recipe() -> None:
    assert set(RECIPES) == set(config.members("dataset")) - {"files", "hub", "image_files", "toy_birds", "waterbirds"}


labels = st.lists(st.integers(0, 3), min_size=3, max_size=60)


@given(labels, st.data())
def test_splits_hold_each_row_once_and_classes_in_their_shares(classes: list[int], data: st.DataObject) -> None:
    rows = [RawRow(f"text {i // 2}", label) for i, label in enumerate(classes)]
    train = data.draw(st.integers(1, len(rows) - 2))
    valid = data.draw(st.integers(1, len(rows) - train - 1))
    splits = divide(rows, Sizes(train, valid), 0, "here")
    assert [len(splits[split]) for split in Split] == [train, valid, len(rows) - train - valid]
    assert Counter(row for part in splits.values() for row in part) == Counter(rows)
    for label in set(classes):
        exact = train * classes.count(label) / len(rows)
        assert abs(sum(row.label == label for row in splits[Split.TRAIN]) - exact) < 1
    assert divide(rows[::-1], Sizes(train, valid), 0, "here") == splits


def test_another_seed_gives_another_split() -> None:
    rows = [RawRow(f"text {i}", i % 2) for i in range(40)]
    assert divide(rows, Sizes(20, 10), 0, "here") != divide(rows, Sizes(20, 10), 1, "here")


def test_shares_add_up() -> None:
    assert apportion(5, {0: 1, 1: 1, 2: 1}) == {0: 2, 1: 2, 2: 1}
    assert apportion(0, {0: 0, 1: 0}) == {0: 0, 1: 0}


def test_repeats_go_by_words_and_tell_other_labels() -> None:
    train = [RawRow("Win a PRIZE!", 1), RawRow("hello", 0), RawRow("???", 0)]
    test = [RawRow("win a prize", 1), RawRow("Hello...", 1), RawRow("!!!", 0), RawRow("new", 0)]
    assert count_repeats({Split.TRAIN: train, Split.TEST: test}, Split.TEST) == {"in_train": 2, "under_other_labels": 1}


def test_a_prepared_folder_under_paths_data_is_what_runs_read(composed, make, raw, tmp_path: Path) -> None:
    make("french", raw("french"))
    data = config.build(composed("dataset=french", f"paths.data='{tmp_path / 'out'}'")).dataset.load()
    assert len(data.texts(Split.TRAIN)) == 6


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"youtube", "sms"}))
def test_absent_data_says_both_ways_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        replace(described(name), path=str(tmp_path / name)).load()
    said = str(caught.value)
    assert f"a directory with {name}/train.parquet" in said
    assert "ALCHEMIST_DATA (or paths.data)" in said
    assert f"python scripts/prepare_data.py {name} --source" in said
    assert "\n" not in said


def test_readers_name_every_recipe() -> None:
    assert set(PREPARED) == set(RECIPES)
