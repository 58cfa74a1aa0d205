"""A run on rows with several classes: record, labels, report, and what is done with the run afterwards."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alchemist_exp import apply, config
from alchemist_exp.cli import explain, export, review, show, worth
from alchemist_exp.cli.report import write_run_report
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.pipeline.compatibility import check_experiment
from alchemist_exp.pipeline.run import RunResult, run
from alchemist_exp.results.comparison import compare_runs
from alchemist_exp.results.runs import index_runs
from tests.support.commands import apply_lines, run_command
from tests.support.paths import REPOSITORY

CLASSES = ["billing", "login", "delivery"]
WORDS = {
    "billing": ("the invoice is wrong", "i paid twice", "refund the charge"),
    "login": ("my password fails", "i cannot sign in", "the account is locked"),
    "delivery": ("the parcel is late", "the courier never came", "tracking shows nothing"),
}
PROGRAMS = {
    "some.py": "W = [('invoice', 'paid', 'refund'), ('password', 'sign in'), ('parcel', 'courier')]\n"
    "def label_function(text):\n    return [c for c, words in enumerate(W) if any(w in text for w in words)]\n",
    "other.py": "W = [('charge', 'invoice'), ('password', 'account', 'sign'), ('parcel', 'tracking')]\n"
    "def label_function(text):\n"
    "    return tuple(c for c, words in enumerate(W) if any(w in text for w in words)) or -1\n",
    "single.py": "def label_function(text):\n    return 2 if 'late' in text or 'courier' in text else None\n",
    "wrong.py": "def label_function(text):\n"
    "    return 'billing' if 'paid' in text else [1, 0] if 'locked' in text else []\n",
}
QUICK = (
    *("logger=none", "label_model=dawid_skene", "feature_extractor=tfidf", "feature_extractor.n_components=16"),
    *("end_model.max_epochs=30", "end_model.learning_rate=0.02", "seed.values=[0,1]", "sandbox.determinism_rows=0"),
)


def write_dataset(directory: Path) -> None:
    """Write 300 tickets of up to three complaints each; every text occurs once."""
    rng = np.random.default_rng(0)
    seen: dict[str, list[str]] = {}
    while len(seen) < 300:
        held = [name for name in CLASSES if rng.random() < 0.4]
        parts = [str(rng.choice(WORDS[name])) for name in held] + [f"order {rng.integers(10_000)}", "please help"]
        seen.setdefault(", ".join(map(str, rng.permutation(parts))), held)
    rows = [{"text": text, "label": held, "id": number} for number, (text, held) in enumerate(seen.items())]
    for split, part in (("train", rows[:200]), ("valid", rows[200:250]), ("test", rows[250:])):
        (directory / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))


@pytest.fixture(scope="module")
def finished(composed: Callable, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The run, which tests only read."""
    root = tmp_path_factory.mktemp("multi")
    (data := root / "data").mkdir()
    (programs := root / "programs").mkdir()
    write_dataset(data)
    for name, source in PROGRAMS.items():
        (programs / name).write_text(source)
    overrides = (
        *("dataset=files", f"dataset.path={data}", "dataset.prompt=x", "dataset.multi_label=true"),
        *(f"dataset.classes=[{','.join(CLASSES)}]", "method=program_files", f"method.path={programs}"),
        *("vetting=basic", *QUICK, f"paths.outputs={root / 'outputs'}"),
    )
    cfg = composed(*overrides)
    return run(config.build(cfg), config.to_container(cfg), list(overrides), NoProgress())


def test_the_record_has_scores_of_sets(finished: RunResult) -> None:
    record = finished.record
    assert record.data["multi_label"]
    assert record.metric == record.data["metric"] == "macro_f1"
    assert 0 < record.data["most_frequent_class"]["test"] < 0.5
    test = record.label_model["metrics"]["test"]
    assert test["macro_f1"] > 0.8
    assert test["accuracy"] < test["f1"]
    assert set(record.label_model["by_class"]["test"]) == {"classes"}
    assert record.label_model["convergence"]["converged"]
    assert len(record.label_model["class_balance"]) == 3
    assert all(0.2 < share < 0.6 for share in record.label_model["class_balance"])
    of_seeds = record.end_model["metrics"]["test"]["macro_f1"]
    assert of_seeds["mean"] > 0.8
    assert len(of_seeds["per_seed"]) == 2
    programs = {program["file"]: program for program in record.programs["list"]}
    assert programs["single.py"]["polarity"] == ["delivery"]
    assert programs["some.py"]["accuracy"] > 0.7 > programs["wrong.py"]["accuracy"]
    assert programs["some.py"]["influence"] > 0
    assert "bad_type" in programs["wrong.py"]["errors"]
    (note,) = [note for note in record.notes if "list of class indices" in note]
    assert "Return a list of 0 = billing, 1 = login, 2 = delivery, or -1 to abstain." in note
    assert "valid: early stopping (50 rows)" in record.data["gold_used"]
    assert not any(use.startswith("test") and "scoring" not in use for use in record.data["gold_used"])


def test_labels_are_lists_with_a_probability_per_class(finished: RunResult) -> None:
    labels = pd.read_parquet(finished.directory / "labels.parquet")
    assert len(labels) == 300
    first = labels.iloc[0]
    probs = labels[[f"p({name})" for name in CLASSES]].to_numpy()
    assert (probs.sum(axis=1) > 1.01).any()
    for weak, of_row in zip(labels["weak_label"], probs, strict=True):
        assert [name for name, share in zip(CLASSES, of_row, strict=True) if share >= 0.5] == list(weak)
    predicted = labels[[f"predicted p({name})" for name in CLASSES]].to_numpy()
    for names, of_row in zip(labels["predicted"], predicted, strict=True):
        assert [name for name, share in zip(CLASSES, of_row, strict=True) if share >= 0.5] == list(names)
    assert {type(gold).__name__ for gold in labels["gold"]} == {"ndarray"}
    assert labels["vote single.py"].isna().any()
    assert first["id"] == 0


@pytest.mark.parametrize("using", ["model", "programs"])
def test_new_rows_are_labeled_as_the_run_labels_them(
    finished: RunResult, using: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = pd.read_parquet(finished.directory / "labels.parquet")
    column = "predicted" if using == "model" else "weak_label"
    rows = labels[labels["split"] == "test"][["text", column]].reset_index(drop=True)
    rows[["text"]].assign(text=rows["text"]).to_csv("rows.csv", index=False)
    expected = [list(names) for names in rows[column]]
    for ending in ("csv", "jsonl", "parquet"):
        arguments = (str(finished.directory), "rows.csv", "--with", using, "-o", f"out.{ending}")
        assert apply_lines(monkeypatch, "", *arguments) == 0
    joined = pd.read_csv("out.csv", keep_default_na=False)["label"]
    assert joined.tolist() == ["|".join(names) or "|" for names in expected]
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == expected
    assert "confidence" not in lines[0]
    stored = pd.read_parquet("out.parquet")
    assert [list(names) for names in stored["label"]] == expected
    assert stored["p(login)"].between(0, 1).all()
    framed = apply(finished, [*rows["text"][:3], ""], with_=using)
    assert [framed["label"][i] for i in range(4)] == [*expected[:3], None]


def test_lines_have_a_probability_for_each_class(
    finished: RunResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "i paid twice and the invoice is wrong, my password fails\nnothing\n\n"
    assert apply_lines(monkeypatch, text, str(finished.directory), "--with", "programs") == 0
    first, second, third = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert first[0] == "billing|login"
    assert [float(share) >= 0.5 for share in first[1].split("|")] == [True, True]
    assert (second[:2], third) == (["|", ""], ["", "", ""])


def test_screen_report_and_comparison_name_the_scores(
    finished: RunResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_command(show.main, monkeypatch, "-v", str(finished.directory)) == 0
    said = capsys.readouterr().out
    for text in ("subset accuracy", "micro F1", "macro F1", "most frequent set of classes", "Classes"):
        assert text in said
    assert "how they were labeled" not in said
    page = write_run_report(finished.directory, tmp_path / "report.html").read_text()
    assert "subset accuracy" in page
    assert "scored as a task of its own" in page
    outputs = finished.directory.parents[1]
    report = compare_runs(index_runs(outputs).runs, outputs)
    assert any("macro F1" in caption for caption in report.captions)


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (explain.main, ["--row", "0"]),
        (worth.main, []),
        (review.main, ["-o", "rows.csv"]),
        (export.main, ["-o", "out"]),
    ],
)
def test_commands_on_single_classes_refuse_the_run(
    finished: RunResult,
    main: Callable,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(main, monkeypatch, str(finished.directory), *arguments) == 1
    said = capsys.readouterr().err
    assert "one class per row" in said
    assert said.count("\n") == 1
    assert not [*tmp_path.iterdir()]


def test_a_run_without_a_file_of_its_label_model_is_refused(finished: RunResult, tmp_path: Path) -> None:
    copied = shutil.copytree(finished.directory, tmp_path / "run")
    shutil.rmtree(copied / "label_model" / "class_1")
    with pytest.raises(StoreError, match="class_1"):
        apply(copied, ["my password fails"], with_="programs")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("method=zero_shot", "method=zero_shot; use method=alchemist"),
        ("method=hybrid", "method=hybrid; use method=alchemist"),
        ("method=human", "method=human"),
        ("label_model=stacked", "label_model=stacked, which learns from gold labels"),
        ("label_model=auto", "label_model=auto"),
        ("label_model=accuracy_weighted", "label_model=accuracy_weighted"),
        ("predict=combine", "predict=combine; use predict=distilled"),
        ("refine=rounds", "refine=rounds"),
        ("selection=marginal", "selection=marginal"),
        ("supplement=exemplars supplement.source=data", "supplement.source=data"),
        ("end_model.calibrate=true", "end_model.calibrate=true"),
        ("dataset.positive_class=a", "dataset.positive_class; set it to null"),
        ("dataset.reviewed=rows.csv", "dataset.reviewed"),
        ("dataset.human_votes_column=votes", "dataset.human_votes_column"),
    ],
)
def test_what_is_not_supported_is_refused_before_anything_is_spent(
    composed: Callable, override: str, named: str, tmp_path: Path
) -> None:
    (data := tmp_path / "a.jsonl").write_text('{"text": "x", "label": ["a"]}\n')
    chosen = ("dataset=files", "dataset.prompt=x", f"dataset.path={data}", "dataset.classes=[a,b]")
    experiment = config.build(composed(*chosen, "dataset.multi_label=true", *override.split()))
    with pytest.raises(ConfigError) as raised:
        check_experiment(experiment)
    assert str(raised.value).startswith("dataset.multi_label=true does not work with ")
    assert named in str(raised.value)


def test_the_documentation_lists_what_is_refused() -> None:
    page = (REPOSITORY / "docs" / "multi_label.md").read_text()
    for key in (
        "method=zero_shot", "`hybrid`", "`stacked`", "`auto`", "predict=combine", "refine=rounds", "selection=marginal",
        "end_model.calibrate=true", "dataset.reviewed", "dataset.positive_class",
    ):  # fmt: skip
        assert key in page
