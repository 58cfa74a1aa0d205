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
FAST = ("label_model=majority", "seed=s0", "end_model.max_epochs=1", "logger=none")
FILES = ("--programs", "progs")


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
        "tickets.csv: 7 rows; columns: id, body, level\n"
        "texts in 'body': 1 row without text, 1 text repeated from an earlier row\n"
        "no labels: no score can be computed"
    )
    assert "wrote tickets_labels.csv: " in out
    assert "; 1 row without a label\nno program votes on 1 row, which the distilled model has labeled\n" in out
    assert "correct a program in progs and run the same command again" in out


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
        (arguments(text="bod"), "tickets.csv has no column 'bod'; the columns are 'id', 'body', 'level'."),
        (arguments(text="id,bod"), "tickets.csv has no column 'bod'; the columns are 'id', 'body', 'level'."),
        (
            arguments("--label", "level", text="body,level"),
            "dataset.columns has 'level', which is dataset.label_column",
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
