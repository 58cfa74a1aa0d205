"""Dialects of CSV, encodings, JSON, Excel and compressed files; the summary of a file."""

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alchemist_exp.core.errors import DataError, MissingPackageError
from alchemist_exp.data.readers import inspect_table, read_table, similar_column

ROWS = [["one, two; three", "ham"], ["a | b\tc", "spam"], ['say "hi"\nthere', "ham"]]
COLUMNS = {"text": [row[0] for row in ROWS], "label": [row[1] for row in ROWS]}


def delimited(delimiter: str, quote: bool = True) -> str:
    lines = [["text", "label"], *ROWS]
    fields = [['"' + field.replace('"', '""') + '"' if quote else field for field in line] for line in lines]
    return "".join(delimiter.join(line) + "\n" for line in fields)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.CSV"])
@pytest.mark.parametrize("wanted", [("text", "label"), ("Text",), ()])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, name: str, wanted: tuple[str, ...], delimiter: str) -> None:
    (tmp_path / name).write_text(delimited(delimiter), encoding="utf-8")
    table = read_table(tmp_path / name, wanted=wanted)
    assert table.columns == COLUMNS
    assert table.delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        # Commas in unquoted texts are more frequent than the delimiter.
        ("text;label\na, b, c;ham\nd, e;spam\n", ["text", "label"]),
        ("id;text;label\n1,5;x, y;ham\n", ["id", "text", "label"]),
        # The wanted columns decide, not the longest header.
        ('text,label,"a;b;c;d"\nx,ham,1;2;3;4\n', ["text", "label", "a;b;c;d"]),
        ("sep=;\ntext;label\nx;ham\n", ["text", "label"]),
        ("\ntext,label\nx,ham\n", ["text", "label"]),
        ("text\nno delimiter\n", ["text"]),
        ("comment;class\nx, y;ham\n", ["comment", "class"]),
    ],
)
def test_the_wanted_columns_and_even_rows_decide(tmp_path: Path, text: str, columns: list[str]) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert [*read_table(tmp_path / "a.csv", wanted=("text", "label")).columns] == columns


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_byte_order_marks_say_the_encoding(tmp_path: Path, encoding: str, name: str) -> None:
    text = "text,label\né 😀,ham\n" if name == "a.csv" else '{"text": "é 😀", "label": "ham"}\n'
    (tmp_path / name).write_bytes(text.encode(encoding))
    table = read_table(tmp_path / name)
    assert table.columns == {"text": ["é 😀"], "label": ["ham"]}
    assert table.encoding == encoding


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be", "latin-1"])
def test_an_encoding_can_be_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("text\ncafé\n".encode(encoding))
    with pytest.raises(DataError, match=r"dataset\.encoding"):
        read_table(tmp_path / "a.csv")
    assert read_table(tmp_path / "a.csv", encoding=encoding).columns == {"text": ["café"]}
    with pytest.raises(DataError, match=r"is not ASCII \(byte"):
        read_table(tmp_path / "a.csv", encoding="ascii")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.jsonl.gz", "a.json.gz", "a.csv.gz"])
def test_json_and_compressed_files(tmp_path: Path, name: str) -> None:
    rows = [{"text": text, "label": label} for text, label in ROWS]
    text = json.dumps(rows, indent=1) if ".json." in f"{name}." else "".join(json.dumps(row) + "\n" for row in rows)
    raw = (delimited(",") if ".csv" in name else text).encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert read_table(tmp_path / name).columns == COLUMNS


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.json", b"[1]", "item 1 of the list is not a JSON object"),
        ("a.json", b"[{", "cannot be read: .*line 1"),
        ("a.json", b"[" * 100_000, "it is not JSON"),
        ("a.json", b'{\n"a": 1}', "line 1 is not JSON"),
        ("a.csv.gz", b"text", "cannot be read: .*gzip"),
        ("a.csv.gz", gzip.compress(b"text\na\n" * 99, mtime=0)[:20], "cannot be read: "),
        ("a.csv.gz", gzip.compress(b"text\na\n" * 999, mtime=0)[:20] + b"z" * 99, "cannot be read: "),
        ("a.xlsx", b"text", "is not an Excel workbook"),
        ("a.parquet.gz", b"", r"has the extension '\.parquet\.gz'"),
        ("a", b"", "has the extension 'nothing'"),
        ("a.csv", b"\xff\xfet", "cannot be read|is not UTF-16"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataError, match=message) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def workbook(path: Path, *sheets: list[list[object]]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(path)


def test_excel_is_read_like_csv(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    rows = [["text", "label", None], ["a, b", 1], [None, None], [2024, 1.5]]
    workbook(tmp_path / "a.xlsx", rows, [["other"]])
    table = read_table(tmp_path / "a.xlsx")
    assert table.columns == {"text": ["a, b", "2024"], "label": ["1", "1.5"]}
    assert table.notes == ("a.xlsx: only its first sheet 'Sheet' is read, not 'Sheet1'.",)
    workbook(tmp_path / "b.xlsx", [])
    with pytest.raises(DataError, match="its first sheet is empty"):
        read_table(tmp_path / "b.xlsx")


def test_excel_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "a.xlsx").write_bytes(b"")
    with pytest.raises(MissingPackageError, match=re.escape(".venv/bin/pip install -c constraints.txt -e '.[xlsx]'")):
        read_table(tmp_path / "a.xlsx")


def test_the_summary_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufefftext;label\na;1\n ;0\n;1\nd;\n".encode())
    summary = inspect_table(path)
    assert (summary.columns, summary.n_rows, summary.delimiter) == (("text", "label"), 4, ";")
    assert (summary.encoding, summary.n_empty_texts, summary.labels) == ("utf-8-sig", 2, {"1": 2, "0": 1})
    assert inspect_table(path, text_column="body", label_column="class").labels is None


@pytest.mark.parametrize(
    ("wanted", "columns", "found"),
    [
        ("label", ["text", "Label"], "Label"),
        ("label", ["labels", "LABEL"], "LABEL"),
        ("label", ["lable"], "lable"),
        ("label", ["text", "id", "category"], None),
        ("text", ["texts", "test"], "texts"),
        ("text", ["label", "test", "next"], None),
    ],
)
def test_a_similar_column(wanted: str, columns: list[str], found: str | None) -> None:
    assert similar_column(wanted, columns) == found


def write_sheet(path: Path, xml_of: Callable[[str], str] = str, merge: str = "", **cells: str) -> Path:
    """Write three rows and some cells as Excel does; `xml_of` alters the XML of the sheet."""
    book = pytest.importorskip("openpyxl").Workbook()
    for row in (["text", "label"], ["a", "ham"], ["b", "spam"]):
        book.active.append(row)
    for name, value in cells.items():
        book.active[name] = value
    if merge:
        book.active.merge_cells(merge)
    book.save(raw := io.BytesIO())
    with zipfile.ZipFile(raw) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name).decode()
            new.writestr(name, xml_of(content) if name.endswith("sheet1.xml") else content)
    return path


@pytest.mark.parametrize("size", ["A1", "A1:A2", "A1:B2", "A1:Z99"])
def test_the_stored_size_of_a_sheet_is_not_used(tmp_path: Path, size: str) -> None:
    size_xml = f'dimension ref="{size}"'
    path = write_sheet(tmp_path / "a.xlsx", lambda xml: xml.replace('dimension ref="A1:C3"', size_xml), C1="id", C3="x")
    columns = {"text": ["a", "b"], "label": ["ham", "spam"], "id": ["", "x"]}
    assert read_table(path).columns == columns


@pytest.mark.parametrize(
    ("cells", "merge", "message"),
    [
        ({"B3": "=B2"}, "", "the formulas in B3 of its sheet 'Sheet' have no stored value; open the file"),
        ({f"A{i}": f"=A{i - 1}" for i in range(3, 20)}, "", "the formulas in A3, A4, A5, A6, A7 and 12 more"),
        ({}, "B2:B3", "the cells B2:B3 of its sheet 'Sheet' are merged, .*; unmerge them"),
    ],
)
def test_cells_that_only_look_empty_are_refused(tmp_path: Path, cells, merge: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(write_sheet(tmp_path / "a.xlsx", merge=merge, **cells))


def test_a_formula_whose_value_is_an_empty_text_is_an_empty_cell(tmp_path: Path) -> None:
    path = write_sheet(tmp_path / "a.xlsx", lambda xml: xml.replace('<c r="B3">', '<c r="B3" t="str">'), B3='=""')
    assert read_table(path).columns["label"] == ["ham", ""]
