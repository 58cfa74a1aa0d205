"""Runs on rows of several columns, from files to labels, and what the LLM is told about the columns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import alchemist_exp
from alchemist_exp import config
from alchemist_exp.cli import apply
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.core.types import Split
from alchemist_exp.pipeline import artifacts
from alchemist_exp.pipeline.compatibility import check_with_data
from alchemist_exp.pipeline.plan import plan
from alchemist_exp.pipeline.run import RunResult, run
from tests.support.commands import apply_lines

PROGRAMS = {
    "likes.py": "def label_function(row):\n    return 2 if (row['likes'] or 0) >= 900 else -1\n",
    "spam.py": """
def label_function(row):
    text, likes = row["comment"].lower(), row["likes"] or 0
    row.clear()
    return 1 if likes < 900 and any(word in text for word in ("http", "subscribe", "check")) else -1
""",
    "ham.py": """
def label_function(row):
    text, likes = row["comment"].lower(), row["likes"] or 0
    return 0 if likes < 900 and len(text) < 60 and "http" not in text and "check" not in text else -1
""",
}
FAST = (
    "logger=none",
    "seed=s0",
    "label_model=majority",
    "feature_extractor=tfidf",
    "feature_extractor.n_components=64",
    "sandbox.determinism_rows=0",
)
TASK = (
    "dataset=files",
    "dataset.classes=[ham,spam,viral]",
    "dataset.prompt=Label comments.",
    "dataset.subject=comment",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, composed) -> Path:
    """Comments with a number of likes; a third class, viral, is in the number alone."""
    root = tmp_path_factory.mktemp("records")
    youtube = config.build(composed("dataset=youtube")).dataset.load()
    rng = np.random.default_rng(0)
    (root / "data").mkdir()
    for split in Split:
        lines = []
        for number, (text, gold) in enumerate(zip(youtube.texts(split), youtube.gold(split), strict=True)):
            viral = rng.random() < 0.3
            likes = int(rng.integers(1000, 9000) if viral else rng.integers(0, 800))
            row: dict[str, Any] = {"id": f"{number:04d}", "comment": text, "lang": ["en", "de", None][number % 3]}
            row["likes"] = None if number % 20 == 0 and not viral else likes
            if split is not Split.TRAIN:
                row["label"] = "viral" if viral else ["ham", "spam"][gold]
            lines.append(json.dumps(row, ensure_ascii=False))
        (root / "data" / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (root / "programs").mkdir()
    for name, source in PROGRAMS.items():
        (root / "programs" / name).write_text(source)
    return root


@pytest.fixture(scope="module")
def run_on(root: Path, composed):
    def run_with(*overrides: str) -> RunResult:
        overrides = (*FAST, *TASK, f"dataset.path={root / 'data'}", f"paths.outputs={root / 'outputs'}", *overrides)
        cfg = composed(*overrides)
        return run(config.build(cfg), config.to_container(cfg), list(overrides), NoProgress())

    return run_with


@pytest.fixture(scope="module")
def ran(root: Path, run_on) -> RunResult:
    return run_on("dataset.columns=[comment,likes,lang]", "method=program_files", f"method.path={root / 'programs'}")


def test_programs_and_the_distilled_model_see_the_number(ran: RunResult, run_on, root: Path) -> None:
    record = ran.record
    assert record.programs["accepted"] == 3
    assert record.label_model["metrics"]["test"]["accuracy"] > 0.85
    assert [(c["name"], c["type"]) for c in record.data["columns"]] == [
        ("comment", "str"),
        ("likes", "int"),
        ("lang", "str"),
    ]
    (root / "texts").mkdir()
    for name in ("spam.py", "ham.py"):
        source = PROGRAMS[name].replace('row["comment"]', "row").replace('row["likes"] or 0', "0")
        (root / "texts" / name).write_text(source.replace("    row.clear()\n", ""))
    texts = run_on("dataset.text_column=comment", "method=program_files", f"method.path={root / 'texts'}").record
    accuracy, of_texts = (r.end_model["metrics"]["test"]["accuracy"]["mean"] for r in (record, texts))
    assert accuracy > 0.85
    assert accuracy > of_texts + 0.2


def test_the_labels_file_keeps_the_columns(ran: RunResult, root: Path) -> None:
    from pyarrow import parquet

    table = parquet.read_table(ran.directory / artifacts.LABELS)
    assert table.column_names[:5] == ["split", "row", "comment", "likes", "lang"]
    assert table.column_names[-1] == "id"
    assert str(table.schema.field("likes").type) == "int64"
    first = json.loads((root / "data" / "train.jsonl").read_text(encoding="utf-8").partition("\n")[0])
    assert {name: table[name][0].as_py() for name in first} == first


def test_columns_with_names_of_the_labels_file_get_a_prefix(composed, tmp_path: Path) -> None:
    rows = [json.dumps({"split": f"text {n}", "p(ham)": n, "input_split": "x"}) for n in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "a.py").write_text("def label_function(row):\n    return row['p(ham)'] % 2\n")
    overrides = (*FAST, "dataset=files", f"dataset.path={tmp_path / 'a.jsonl'}", "dataset.classes=[ham,spam]")
    overrides = (*overrides, "dataset.prompt=t", "dataset.columns=[split,'p(ham)']", "method=program_files")
    cfg = composed(*overrides, f"method.path={tmp_path / 'programs'}", f"paths.outputs={tmp_path / 'outputs'}")
    directory = run(config.build(cfg), config.to_container(cfg), [], NoProgress()).directory
    from pyarrow import parquet

    names = parquet.read_table(directory / artifacts.LABELS).column_names
    assert names[:4] == ["split", "row", "input_split", "input_p(ham)"]
    assert names[-1] == "input_input_split"


def test_new_records_are_labeled(
    ran: RunResult, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyarrow import parquet

    lines = ['{"comment": "hi", "likes": 5000, "lang": "fr"}', '{"comment": "check out http://x.y", "likes": 3}']
    empty = '{"comment": " ", "likes": null}'
    for using in ("model", "programs"):
        assert apply_lines(monkeypatch, "\n".join([*lines, empty]), str(ran.directory), "--with", using) == 0
        found = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert [cells[0] for cells in found] == ["viral", "spam", ""]
        assert [cells[2] for cells in found] == [*lines, empty]
    assert apply_lines(monkeypatch, f"{lines[0]}\nplain text\n", str(ran.directory)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: line 2: expected a JSON object with comment, likes, lang")
    # A table with the rows of train has the labels of the run, as JSON with types and as CSV without.
    monkeypatch.chdir(tmp_path)
    labels = parquet.read_table(ran.directory / artifacts.LABELS).to_pandas()
    labels = labels[labels["split"] == "train"]
    table = pd.read_json(root / "data" / "train.jsonl", lines=True, dtype={"id": str})
    table.to_csv("train.csv", index=False)
    for rows in (table, table.to_dict("records")):
        for using, column in (("model", "predicted"), ("programs", "weak_label")):
            in_memory = alchemist_exp.apply(ran, rows, with_=using)
            assert in_memory["label"].fillna("").tolist() == labels[column].fillna("").tolist()
    with pytest.raises(ConfigError, match="the rows of this run have the columns comment, likes, lang; give mappings"):
        alchemist_exp.apply(ran, ["hi"])
    for file in (root / "data" / "train.jsonl", Path("train.csv")):
        for using, column in (("model", "predicted"), ("programs", "weak_label")):
            assert apply.main([str(ran.directory), str(file), "-o", "out.parquet", "--overwrite", "--with", using]) == 0
            found = pd.read_parquet("out.parquet")
            assert found["label"].fillna("").tolist() == labels[column].fillna("").tolist()
            assert apply.main([str(ran.directory), str(file), "-o", "many/", "--with", using]) == 0
            pd.testing.assert_frame_equal(pd.read_parquet("many/train.parquet"), found)
    assert found.columns[:5].tolist() == ["id", "comment", "lang", "likes", "label"]
    assert found.columns[-3:].tolist() == ["vote ham.py", "vote likes.py", "vote spam.py"]
    assert str(found["likes"].dtype) in ("object", "str")  # a CSV file has no types


def test_the_same_run_is_loaded_and_a_killed_one_reuses_votes_and_features(ran: RunResult, run_on, root: Path) -> None:
    of_run = ("dataset.columns=[comment,likes,lang]", "method=program_files", f"method.path={root / 'programs'}")
    assert run_on(*of_run).reused
    before = {path: path.stat().st_mtime_ns for path in (root / "outputs" / "cache").rglob("*.npy")}
    record_file = ran.directory / "record.json"
    stored = record_file.read_text()
    record_file.write_text(stored.replace('"status": "finished"', '"status": "started"'))
    again = run_on(*of_run)
    assert not again.reused
    assert again.record.end_model["metrics"] == ran.record.end_model["metrics"]
    assert {path: path.stat().st_mtime_ns for path in (root / "outputs" / "cache").rglob("*.npy")} == before


@pytest.fixture
def experiment(root: Path, composed):
    def build(*overrides: str):
        return config.build(
            composed(*TASK, f"dataset.path={root / 'data'}", "dataset.columns=[comment,likes,lang]", *overrides)
        )

    return build


def test_the_prompt_describes_the_columns_and_shows_values_only_if_allowed(experiment) -> None:
    one = experiment()
    request = one.prompt.program_request(one.dataset.load().task)
    assert request == (
        "Label comments.\n\n"
        "Each comment is a dict called row with these keys, where None is a missing value:\n"
        '- "comment": str, 0% missing\n- "likes": int, 3% missing\n- "lang": str, 33% missing\n\n'
        "If the comment is ham, the function returns 0.\nIf the comment is spam, the function returns 1.\n"
        "If the comment is viral, the function returns 2.\n"
        "If the comment cannot be determined, the function returns -1.\n\n"
        "def label_function(row: dict) -> int:"
    )
    shown = one.prompt.program_request(experiment("dataset.show_examples=true").dataset.load().task)
    assert '- "lang": str, 33% missing, for example "en" and "de"' in shown
    assert 'likes": int, 3% missing, for example' in shown


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prompt.signature='def label_function([subject]: str) -> int:'", "is for texts, and these programs get row"),
        ("prompt.program=['[task]','[instructions]','[signature]']", "add '[row_description]' to the list"),
    ],
)
def test_a_prompt_for_texts_is_refused(experiment, override: str, message: str) -> None:
    one = experiment(override)
    with pytest.raises(ConfigError) as raised:
        check_with_data(one, one.dataset.load())
    assert message in str(raised.value)


def test_plans_and_zero_shot_questions_have_all_columns(experiment, tmp_path: Path) -> None:
    one = experiment(
        "llm=openai",
        "method=zero_shot",
        "dataset.limit=3",
        f"paths.outputs={tmp_path}",
        "dataset.zero_shot_prompt='Q: [text]'",
    )
    data = one.dataset.load()
    assert plan(one, data).calls == 3
    from alchemist_exp.pipeline.stages import StageProgress, make_context

    context, _ = make_context(one, data, StageProgress(NoProgress()), plan=True)
    batch = next(one.method.dialogue(context))
    (row, *_) = map(json.loads, data.texts(Split.TRAIN))
    assert row["likes"] is None
    assert batch.requests[0].messages[-1].text == f"Q: comment: {row['comment']}\nlikes: (missing)\nlang: en"
