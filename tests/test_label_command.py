"""`alchemist label`: a table in, a table with labels out, and the same run as `alchemist run`."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from alchemist_exp import config, library
from alchemist_exp.cli import cache, label
from tests.support.llm_server import ReceivedRequest, ScriptedResponse, Server, Tokens

TASK = 'Label tickets as billing, technical (bugs) or “Zugänge”: $5, ${x} = {a} ~ it\'s "so"'
CLASSES = ["billing", "technical (bugs)", "Zugänge, {neu} = $5 it's"]
TYPED_CLASSES = 'billing,technical (bugs),"Zugänge, {neu} = $5 it\'s"'
ROWS = [
    ("1", "please refund the invoice", "high"),
    ("2", "the app crashes, an error", "low"),
    ("3", "my password is wrong", "low"),
    ("4", "", ""),
    ("5", '=1+1 refund\nof my "payment"', "low"),
    ("6", "the app crashes, an error", "high"),
    ("7", "hello", "low"),
]
WORDS = ["refund", "error", "password"]
PROGRAM = "def label_function(text):\n    return {} if {!r} in text else -1\n"
FAST = ("label_model=majority", "seed=s0", "end_model.max_epochs=1", "logger=none", "sandbox.determinism_rows=0")
FILES = ("--programs", "progs")

pytestmark = pytest.mark.usefixtures("composed_once")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty directory with three programs; a member that is saved is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    Path("progs").mkdir()
    for number, word in enumerate(WORDS):
        Path("progs", f"{word}.py").write_text(PROGRAM.format(number, word))
    write("tickets.csv")
    yield
    config.register()


def write(name: str, header: tuple[str, ...] = ("id", "body", "level")) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *ROWS])


def arguments(*more: str, file: str = "tickets.csv", text: str = "body", by: tuple[str, ...] = FILES) -> list[str]:
    return [file, "--task", TASK, "--classes", TYPED_CLASSES, "--text", text, *by, *FAST, *more]


def mistake(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    before = {path.name for path in Path.cwd().iterdir()}
    with pytest.raises(SystemExit) as stopped:
        label.main(given)
    assert stopped.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert {path.name for path in Path.cwd().iterdir()} - before <= {"outputs"}
    return printed


def test_the_table_has_all_rows_columns_labels_and_votes() -> None:
    write("tickets.csv", ("id", "body", "confidence"))
    assert label.main(arguments("-o", "out.csv")) == 0
    table = pd.read_csv("out.csv", dtype=str, keep_default_na=False).to_dict("list")
    votes = [f"vote {word}.py" for word in sorted(WORDS)]
    assert list(table) == ["id", "body", "input_confidence", "label", "confidence", "labeled_by", *votes]
    assert table["body"] == [text for _, text, _ in ROWS]
    billing, technical, access = CLASSES
    model = table["label"][6]
    assert model in CLASSES
    assert table["label"] == [billing, technical, access, "", billing, technical, model]
    assert table["labeled_by"] == [*["programs"] * 3, "", *["programs"] * 2, "model"]
    assert table["vote refund.py"] == [billing, "", "", "", billing, "", ""]
    assert table["confidence"][:4] == ["1.0", "1.0", "1.0", ""]


def test_several_columns_are_records(capsys: pytest.CaptureFixture[str]) -> None:
    Path("progs/refund.py").write_text("def label_function(row):\n    return 0 if row['id'] in (1, 5) else -1\n")
    for word in WORDS[1:]:
        path = Path("progs", f"{word}.py")
        path.write_text(path.read_text().replace("in text", "in (text['body'] or '')"))
    assert label.main(arguments("-o", "out.csv", "--save", "tickets", text="id,body")) == 0
    out = capsys.readouterr().out
    assert "texts in 'id', 'body': 0 rows without text, 0 texts repeated from an earlier row" in out
    assert "--text" not in out
    table = pd.read_csv("out.csv", dtype=str, keep_default_na=False).to_dict("list")
    assert [*table][:4] == ["id", "body", "level", "label"]
    billing, technical, access = CLASSES
    assert [table["label"][row] for row in (0, 1, 2, 4, 5)] == [billing, technical, access, billing, technical]
    assert table["labeled_by"][3] == "model"  # it has an id
    assert yaml.safe_load(Path("my_conf/dataset/tickets.yaml").read_text())["columns"] == ["id", "body"]


def test_a_column_with_a_name_of_ours_keeps_its_values() -> None:
    write("tickets.csv", ("confidence", "body", "input_confidence"))
    assert label.main(arguments()) == 0
    table = pd.read_csv("tickets_labels.csv", dtype=str, keep_default_na=False).to_dict("list")
    assert [*table][:5] == ["input_input_confidence", "body", "input_confidence", "label", "confidence"]
    assert table["input_input_confidence"] == [row[0] for row in ROWS]
    assert table["input_confidence"] == [row[2] for row in ROWS]


def test_it_says_what_is_in_the_file_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert label.main(arguments()) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "tickets.csv (UTF-8, separated by commas): 7 rows; columns: id, body, level\n"
        "texts in 'body': 1 row without text, 1 text repeated from an earlier row\n"
        "no labels: no score can be computed"
    )
    assert "wrote tickets_labels.csv: " in out
    assert "; 1 row without a label\nno program votes on 1 row, which the distilled model has labeled\n" in out
    assert "correct a program in progs and run the same command again" in out
    assert re.search(
        r"change a program, see the rows:  alchemist programs edit [0-9a-f]{12} --program NAME FILE\n", out
    )


@pytest.mark.parametrize("saved", [(), ("--save", "tickets", "--config-dir", "my own, conf")])
def test_the_printed_command_makes_the_same_run(capsys: pytest.CaptureFixture[str], saved: tuple[str, ...]) -> None:
    assert label.main(arguments(*saved)) == 0
    (command,) = re.findall(r"the same run, with any setting: +(.*)", capsys.readouterr().out)
    typed = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True)
    program, run, *rest = typed.stdout.split("\0")[:-1]
    assert (program, run) == ("alchemist", "run")
    config_dir = None
    if saved:
        assert rest[:3] == ["--config-dir", "my own, conf", "dataset=tickets"]
        config_dir, rest = rest[1], rest[2:]
    result = library.run(rest, config_dir=config_dir)
    assert result.reused
    values = result.record.config["dataset"]
    assert (values["prompt"], values["classes"]) == (TASK, CLASSES)


def test_save_repeats_its_own_file_and_keeps_another(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert label.main(arguments("--save", "tickets")) == 0
    saved = yaml.safe_load(Path("my_conf/dataset/tickets.yaml").read_text())
    assert (saved["name"], saved["classes"]) == ("tickets", CLASSES)
    assert Path(saved["path"]).is_absolute()
    text = mistake(capsys, *arguments("--save", "tickets", "dataset.limit=6"))
    assert "my_conf/dataset/tickets.yaml exists with other values" in text
    assert "is the name of a dataset of the package" in mistake(capsys, *arguments("--save", "sms"))
    assert "is not a name" in mistake(capsys, *arguments("--save", "../x"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (arguments(file="absent.csv"), "'absent.csv' is not a file"),
        (
            arguments(text="Body"),
            "tickets.csv has no column 'Body' (did you mean 'body'?); the columns are 'id', 'body', 'level'.",
        ),
        (arguments(text="id,bod"), "tickets.csv has no column 'bod' (did you mean 'body'?); the columns are"),
        (arguments(text="x"), "tickets.csv has no column 'x'; the columns are 'id', 'body', 'level'."),
        (arguments("--label", "levl"), "--label levl is in no split (did you mean 'level'?); the columns are"),
        (
            ["tickets.csv", "--task", "t", "--text", "body", *FILES],
            "--classes must be given, as in '--classes ham",
        ),
        (arguments("dataset.classes=[a]"), "dataset.classes has 1 names"),
        (arguments("--class", "x"), "the option '--class' is unknown; did you mean '--classes'? See alchemist label"),
        (arguments("method=alchemist"), "--programs stands for method=program_files; leave out --programs or"),
        (
            arguments("--label", "level", text="body,level"),
            "--text has 'level', which is --label: programs would see the gold",
        ),
        (["tickets.csv", "--task", " "], "--task is empty; say in one sentence"),
        (arguments(by=()), "nothing writes programs; choose an LLM, as in --llm openai"),
        (arguments("--llm", "openai"), "--llm and --programs exclude each other"),
        (arguments("other.csv"), "'other.csv' is not KEY=VALUE; alchemist label reads one file"),
        (arguments("-o", "tickets.csv"), "'tickets.csv' is the file that is read"),
        (arguments("-o", "out.docx"), "'out.docx' does not end in .csv, .tsv, .jsonl, .xlsx, .parquet"),
        (arguments("-o", "absent/out.csv"), "'absent/out.csv' cannot be written"),
        (arguments("--budget", "one"), "argument --budget: invalid float value: 'one'"),
        (arguments("--config-dir", "absent"), "--config-dir is"),
        (arguments("label_modle=majority"), "the key 'label_modle' is unknown; did you mean 'label_model'?"),
        (arguments("seed=5"), "seed '5' is unknown"),
        (arguments("method.path=absent"), "absent"),
        (arguments("dataset.path=b.csv"), "dataset.path is given by FILE of alchemist label; leave out the override."),
        (arguments("dataset.text_column=id"), "by --text of alchemist label; leave out the override."),
        (arguments("dataset.encoding=hex"), "dataset.encoding='hex' is unknown; examples are utf-8"),
        (arguments("dataset.encoding=utf-8", "dataset.encoding=foo"), "dataset.encoding='foo' is unknown"),
        (arguments(by=("--llm", "opnai")), "llm 'opnai' is unknown; did you mean 'openai'?"),
        (arguments(by=("--llm", "openai")), "OPENAI_API_KEY"),
        (["tickets.csv", "--classes", "a,b"], "the following arguments are required: --task"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_file(
    capsys: pytest.CaptureFixture[str], given: list[str], expected: str
) -> None:
    assert expected in mistake(capsys, *given)


def test_it_asks_before_it_pays(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "k")
    asked: list[str] = []

    def respond(request: ReceivedRequest) -> ScriptedResponse:
        asked.append(request.body["messages"][-1]["content"])
        number = (len(asked) - 1) % 3
        program = PROGRAM.format(number, WORDS[number])
        return ScriptedResponse(text=f"```python\n{program}```", tokens=Tokens(total=90, output=10))

    with Server(respond) as server:
        by = ("--llm", "openai_compatible", "--model", "m", f"llm.base_url={server.url}/v1", "method.n_programs=3")
        given = arguments(by=by)
        assert "there is no terminal to ask at; nothing was sent: add --yes" in mistake(capsys, *given)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys.stdin, "readline", lambda: "\n", raising=False)
        assert label.main(given) == 1
        assert "nothing was sent and nothing was written" in capsys.readouterr().out
        assert asked == []
        assert label.main([*given, "--yes"]) == 0
        out = capsys.readouterr().out
        assert len(asked) == 3
        assert TASK in asked[0]
        (copy,) = re.findall(r"(cp -r .*)", out)
        (again,) = re.findall(r"alchemist (label .*) --programs programs", out)
        subprocess.run(["bash", "-c", copy], check=True)
        assert list(Path("programs").glob("*.py"))
        words = subprocess.run(["bash", "-c", f"printf '%s\\0' {again}"], capture_output=True, text=True, check=True)
        # The responses are cached, so nothing has to be asked or paid.
        assert label.main([*words.stdout.split("\0")[1:-1], "--programs", "programs", *FAST]) == 0
        assert label.main(given) == 0
        # A cached program may be rejected and repaired, which is a new call.
        assert label.main([*given, "repair=on"]) == 1
        assert "Send 0 to " in capsys.readouterr().err
        assert len(asked) == 3
    assert cache.main(["export", "responses.jsonl"]) == 0
    recorded = ("--llm", "recorded", "llm.recording=responses.jsonl", "method.n_programs=3")
    assert label.main(arguments(by=recorded)) == 0
    assert "programs (replayed)" in capsys.readouterr().out


def test_classes_of_the_labels_are_numbered_and_another_order_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"refund": "Billing", "error": "Technical", "password": "Access"}
    rows = [[f"{word} {number}", names[word] if number < 10 else ""] for number in range(20) for word in WORDS]
    pd.DataFrame(rows, columns=["body", "label"]).to_csv("tickets.csv", index=False)
    given = ["tickets.csv", "--task", "t", "--text", "body", *FILES, *FAST]
    for again in (False, True):
        assert label.main(given) == 0
        out = capsys.readouterr().out
        numbers = "0 = Access, 1 = Billing, 2 = Technical"
        assert f"classes: {numbers} (from the labels; programs must return these numbers)\n" in out
        assert f"! The classes are taken from the labels: {numbers}. Programs must return these numbers" in out
        assert "are the class indices in the order" in out
        assert "they fit the order 0 = Billing, 1 = Technical, 2 = Access, in 100% of the 30 votes" in out
        assert ("loaded from the existing record" in out) is again
    assert label.main([*given, "--classes", "Billing,Technical,Access"]) == 0
    out = capsys.readouterr().out
    assert "classes: 0 = Billing, 1 = Technical, 2 = Access\n" in out
    assert "are the class indices" not in out


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("e.csv", "", "e.csv cannot be read: it is empty; the first line must have the names of the columns"),
        ("e.jsonl", "\n", "e.jsonl is empty; it needs rows with named columns"),
        ("e.json", "[]", "e.json is empty; it needs rows with named columns"),
        ("e.csv", "text\n", "e.csv has no rows."),
    ],
)
def test_an_empty_file_is_called_so(capsys: pytest.CaptureFixture[str], name: str, content: str, expected: str) -> None:
    Path(name).write_text(content)
    assert expected in mistake(capsys, name, "--task", "t", "--classes", "a,b", *FILES)


@pytest.mark.parametrize(
    "typed", ["[Billing,Technical, Access]", "['Billing',\"Technical\",Access]", "Billing,Technical,Access"]
)
def test_brackets_around_the_classes_are_not_part_of_a_name(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert label.main(["tickets.csv", "--task", "t", "--classes", typed, "--text", "body", *FILES, *FAST]) == 0
    assert "classes: 0 = Billing, 1 = Technical, 2 = Access\n" in capsys.readouterr().out


def test_a_given_label_is_kept_and_disagreements_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["Access", "", "access", "", "", " Technical", ""]
    pd.DataFrame({"body": [row[1] for row in ROWS], "label": given}).to_csv("tickets.csv", index=False)
    classes = ("--classes", "Billing,Technical,Access")
    assert label.main(["tickets.csv", "--task", "t", *classes, "--text", "body", *FILES, *FAST]) == 0
    table = pd.read_csv("tickets_labels.csv", dtype=str, keep_default_na=False)
    assert table["input_label"].tolist() == given
    assert table["label"].tolist()[:6] == ["Access", "Technical", "Access", "", "Billing", "Technical"]
    assert table["labeled_by"].tolist() == ["given", "programs", "given", "", "programs", "given", "model"]
    assert table["confidence"].tolist()[:3] == ["", "1.0", ""]
    assert table["vote refund.py"][0] == "Billing"
    out = capsys.readouterr().out
    assert "kept the label of the file in 3 rows; programs vote on 2 of these and disagree on 1" in out
    assert "labels in 'label': 3 rows: 2 Access, 1 Technical (spellings that differ only in case or blanks" in out


def test_a_column_of_labels_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    write("tickets.csv", ("id", "body", "level"))
    table = pd.read_csv("tickets.csv", dtype=str, keep_default_na=False).assign(label="")
    table.to_csv("tickets.csv", index=False)
    assert label.main(arguments()) == 0
    assert "labels in 'label': none, the column is empty\n" in capsys.readouterr().out


def test_a_table_that_is_not_ours_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path("tickets_labels.csv")
    out.write_text("mine")
    refused = "tickets_labels.csv exists, and alchemist label did not write it or it was changed since; name another"
    assert refused in mistake(capsys, *arguments())
    assert out.read_text() == "mine"
    assert label.main(arguments("--overwrite")) == 0
    written = out.read_bytes()
    assert label.main(arguments()) == 0  # unchanged since
    out.write_bytes(written + b"corrected by hand")
    assert refused in mistake(capsys, *arguments("--yes"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "\n", raising=False)
    assert label.main(arguments()) == 1
    assert out.read_bytes() != written
    monkeypatch.setattr(sys.stdin, "readline", lambda: "y\n", raising=False)
    assert label.main(arguments()) == 0
    assert out.read_bytes() == written


@pytest.mark.parametrize(
    ("name", "mark", "delimiter", "start"),
    [
        ("a.csv", "\ufeff", ";", "\ufeffid;body;level;label;confidence"),
        ("b.csv", "", "|", "id|body|level|label|confidence"),
        ("c.tsv", "\ufeff", "\t", "\ufeffid\tbody\tlevel\tlabel\tconfidence"),
    ],
)
def test_a_csv_table_is_written_as_it_was_read(name: str, mark: str, delimiter: str, start: str) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        csv.writer(file, delimiter=delimiter).writerows([("id", "body", "level"), *ROWS])
    assert label.main(arguments(file=name)) == 0
    table = Path(f"{name[0]}_labels{name[1:]}")
    assert table.read_text(encoding="utf-8").startswith(start)
    assert label.main(arguments("-o", "other.tsv", file=name)) == 0
    assert "\tlabel\t" in Path("other.tsv").read_text(encoding="utf-8")


def test_the_cost_is_shown_before_a_missing_key_and_the_smaller_limit_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    given = arguments("--budget", "0.001", by=("--llm", "openai"))
    with pytest.raises(SystemExit):
        label.main(given)
    shown = capsys.readouterr()
    assert "pays from" in shown.out
    assert "the run would be refused" not in shown.out
    assert "OPENAI_API_KEY" in shown.err
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "\n", raising=False)
    assert label.main(given) == 1
    assert ", at most $0.0010? [y/N]" in capsys.readouterr().err


def test_a_program_that_returns_names_is_named_with_the_first_row(capsys: pytest.CaptureFixture[str]) -> None:
    Path("progs/error.py").write_text("def label_function(text):\n    return 'technical' if 'hello' in text else 1\n")
    assert label.main(arguments()) == 0
    expected = (
        "values returned by error.py (row 7 of tickets.csv: the vote is a str; an integer is needed). Return 0 = bill"
    )
    assert expected in capsys.readouterr().out


def test_lists_of_classes_are_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file := tmp_path / "lists.jsonl").write_text('{"text": "a", "label": ["x"]}\n')
    with pytest.raises(SystemExit):
        label.main([str(file), "--task", "T", "--classes", "x,y", "--programs", str(tmp_path)])
    assert "the column 'label' has lists of classes. alchemist label is for one class" in capsys.readouterr().err
