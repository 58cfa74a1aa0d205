"""The whole run in this process, sockets blocked but for loopback."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp import config
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import ProgramsError, StoreError
from alchemist_exp.core.progress import NoProgress, Progress
from alchemist_exp.pipeline.run import RESERVE, RunResult, run
from alchemist_exp.results.record import RunRecord, RunStatus


@pytest.fixture
def ran(composed, tmp_path: Path):
    def run_with(*overrides: str, outputs: str = "outputs", progress: Progress | None = None) -> RunResult:
        cfg = composed("logger=none", f"paths.outputs={tmp_path / outputs}", *overrides)
        return run(config.build(cfg), config.to_container(cfg), list(overrides), progress or NoProgress())

    return run_with


def without_times(record: RunRecord) -> dict[str, Any]:
    plain = copy.deepcopy(vars(record))
    for name in ("started_at", "finished_at", "seconds"):
        plain.pop(name)
    plain["config"].pop("paths")
    return plain


@pytest.fixture(scope="module")
def main_job(composed, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Path]:
    """The main job, once for all tests that read its record."""
    root = tmp_path_factory.mktemp("main") / "outputs"
    cfg = composed("logger=none", f"paths.outputs={root}")
    return run(config.build(cfg), config.to_container(cfg), [], NoProgress()), root


def test_the_main_job_reaches_its_figures(main_job) -> None:
    record = main_job[0].record
    assert record.status is RunStatus.FINISHED
    assert record.programs["accepted"] == 10
    assert record.label_model["coverage"] == {"train": 1.0, "valid": 1.0, "test": 1.0}
    assert record.label_model["metrics"]["test"]["accuracy"] >= 0.93
    assert record.label_model["warnings"] == record.notes == []
    test = record.end_model["metrics"]["test"]
    assert test["accuracy"]["mean"] >= 0.92
    assert len(test["accuracy"]["per_seed"]) == 5


def test_the_record_has_every_section_and_reads_back(main_job) -> None:
    answer, _ = main_job
    read = RunRecord.read(answer.directory)
    assert read == answer.record
    raw = json.loads((answer.directory / "record.json").read_text())
    assert raw["schema_version"] == 2
    assert {group: raw["components"][group]["name"] for group in ("dataset", "method", "llm", "label_model")} == {
        "dataset": "youtube", "method": "alchemist", "llm": "recorded", "label_model": "snorkel",
    }  # fmt: skip
    assert set(raw["seconds"]) == {
        "load", "tracking", "prompts", "programs", "votes", "label_model", "features", "end_model", "evaluate", "total",
    }  # fmt: skip
    assert raw["data"]["gold_used"] == [
        "valid: class balance", "valid: early stopping", "train: scoring", "valid: scoring", "test: scoring",
    ]  # fmt: skip
    assert raw["cost"]["spent_usd"] == 0.0
    assert raw["cost"]["list_price_usd"] is None
    assert raw["cost"]["break_even"]["zero_shot_calls"] == 1440  # rows that differ
    assert raw["host"]["cpus"] >= 1
    assert raw["packages"]["snorkel"]


def test_a_full_disk_leaves_a_failed_record(ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, _: object) -> None:
        write_bytes(folder / "half.py", b"x")
        raise StoreError("the disk is full")

    monkeypatch.setattr("alchemist_exp.pipeline.artifacts.save_programs", full)
    with pytest.raises(StoreError, match="the disk is full"):
        ran("+experiment=tiny")
    (folder,) = (p for p in (tmp_path / "outputs" / "runs").iterdir() if not p.name.startswith("."))
    record = RunRecord.read(folder)
    assert record is not None
    assert (record.status, record.error) == (RunStatus.FAILED, "the disk is full")
    monkeypatch.undo()
    again = ran("+experiment=tiny")
    assert again.record.status is RunStatus.FINISHED
    assert not (again.directory / RESERVE).exists()
    assert not (again.directory / "programs" / "half.py").exists()


def test_labels_programs_and_model_lie_beside_the_record(main_job) -> None:
    import pandas

    folder = main_job[0].directory
    labels = pandas.read_parquet(folder / "labels.parquet")
    assert len(labels) == 1586 + 120 + 250
    assert set(labels["predicted"]) == {"ham", "spam"}
    assert len(list((folder / "programs").glob("*.py"))) == 10


def test_the_saved_model_predicts_as_the_labels_say(main_job, composed) -> None:
    import pandas

    folder = main_job[0].directory
    labels = pandas.read_parquet(folder / "labels.parquet").query("split == 'test'")
    experiment = config.build(composed())
    features = experiment.feature_extractor.load(folder / "model").transform(labels["text"].tolist())
    probs = experiment.end_model.load(folder / "model").predict_proba(features).mean(axis=0)
    assert probs.max(axis=1) == pytest.approx(labels["confidence"].to_numpy(), abs=1e-5)


def test_the_saved_programs_run_again_as_files_with_the_same_votes(main_job, ran) -> None:
    answer, _ = main_job
    again = ran("method=program_files", f"method.path={answer.directory / 'programs'}", "seed=s0").record
    assert again.label_model["metrics"] == answer.record.label_model["metrics"]
    assert again.cost["calls"] == 0


def test_a_finished_run_answers_from_its_record_and_force_runs_it_again(ran) -> None:
    overrides = ("+experiment=tiny",)
    first = ran(*overrides)
    again = ran(*overrides)
    assert (first.reused, again.reused) == (False, True)
    assert again.record == first.record
    old = json.loads((first.directory / "record.json").read_text()) | {"schema_version": 1}
    (first.directory / "record.json").write_text(json.dumps(old))
    assert not ran(*overrides).reused
    forced = ran(*overrides, "force=true")
    assert not forced.reused
    assert without_times(forced.record) | {"cost": None, "config": None, "overrides": None} == (
        without_times(first.record) | {"cost": None, "config": None, "overrides": None}
    )


def test_the_whole_run_twice_gives_equal_records_apart_from_times(ran) -> None:
    one, two = (ran("dataset.limit=400", outputs=f"outputs{i}").record for i in (1, 2))
    assert without_times(one) == without_times(two)


@pytest.mark.parametrize("choice", ["logger=csv", "paths.data=elsewhere", "sandbox.workers=1", "debug=trace"])
def test_what_does_not_matter_leaves_the_run_key(ran, choice: str) -> None:
    tiny = ("dataset.limit=100", "end_model.max_epochs=3", "seed=s0")
    assert ran(*tiny, choice).record.run_key == ran(*tiny).record.run_key


def test_a_seed_scores_the_same_alone_and_among_five(main_job, ran) -> None:
    alone = ran("seed=s3").record.end_model["metrics"]["test"]["accuracy"]["per_seed"]
    among = main_job[0].record.end_model["metrics"]["test"]["accuracy"]["per_seed"][3]
    assert alone == pytest.approx([among], abs=1e-3)


@pytest.mark.parametrize(("dataset", "coverage"), [("youtube", 0.877), ("sms", 0.405)])
def test_human_votes_cover_what_was_published(ran, dataset: str, coverage: float) -> None:
    record = ran(
        "method=human", f"dataset={dataset}", "label_model=majority", "seed=s0", "end_model.max_epochs=3"
    ).record
    assert record.label_model["coverage"]["train"] == pytest.approx(coverage, abs=5e-4)


def test_sms_reaches_its_figure(ran) -> None:
    record = ran("dataset=sms", "seed=s0", "end_model.max_epochs=3").record
    assert record.label_model["metrics"]["test"]["f1"] >= 0.94


def test_without_gold_no_stage_uses_any_but_for_scoring(ran) -> None:
    record = ran("gold=none", "dataset.limit=300", "seed=s0").record
    assert record.data["gold_used"] == ["train: scoring", "valid: scoring", "test: scoring"]
    assert record.notes == []


def test_unlabeled_text_gives_labels_a_model_and_says_which_scores_it_cannot_give(
    main_job, ran, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("text\n" + "\n".join(f"check my channel {i}\nlovely song {i}" for i in range(40)))
    programs = main_job[0].directory / "programs"
    answer = ran(
        "dataset=files", f"dataset.path={texts}", "dataset.classes=[ham,spam]", "dataset.prompt=label",
        "method=program_files", f"method.path={programs}",
    )  # fmt: skip
    record = answer.record
    assert record.label_model["metrics"] == record.end_model["metrics"] == {}
    assert record.data["gold_used"] == []
    notes = " ".join(record.notes)
    assert "no validation labels" in notes
    assert "No valid scores: the split does not exist." in notes
    assert "No test scores: the split does not exist." in notes
    assert (answer.directory / "labels.parquet").exists()
    assert (answer.directory / "model" / "end_model.pt").exists()


@pytest.mark.parametrize(
    "supplement", sorted({*config.members("supplement")} - {"rag"})
)  # whose documents are a user's
def test_every_recorded_strategy_runs(ran, supplement: str) -> None:
    record = ran(
        "dataset=sms", f"supplement={supplement}", "dataset.limit=150", "label_model=majority", "seed=s0",
        "end_model.max_epochs=2",
    ).record  # fmt: skip
    calls = {"none": 10, "mixed": 54}.get(supplement, 11)
    assert (record.programs["candidates"], record.cost["calls"]) == (50 if supplement == "mixed" else 10, calls)
    assert record.programs["accepted"] >= 0.9 * record.programs["candidates"]


def programs_in(folder: Path, *sources: str) -> str:
    folder.mkdir()
    for i, source in enumerate(sources):
        (folder / f"{i}.py").write_text(source)
    return f"method.path={folder}"


def test_too_few_programs_for_snorkel_is_a_failed_record(ran, tmp_path: Path) -> None:
    good = [f"def label_function(t): return (len(t) + {n}) % 2" for n in range(2)]
    path = programs_in(tmp_path / "p", *good, "broken(")
    with pytest.raises(
        ProgramsError,
        match=r"^2 of 3 programs were accepted and label_model=snorkel needs 3 \(2\.py: .*label_model=majority\.$",
    ):
        ran("method=program_files", path, "dataset.limit=50")
    (folder,) = (p for p in (tmp_path / "outputs" / "runs").iterdir() if not p.name.startswith("."))
    record = RunRecord.read(folder)
    assert record is not None
    assert record.status is RunStatus.FAILED
    assert "2.py: " in record.error
    assert record.finished_at


def test_only_abstaining_programs_are_one_sentence(ran, tmp_path: Path) -> None:
    path = programs_in(tmp_path / "p", *(f"def label_function(t):\n    return -1  # {i}" for i in range(3)))
    with pytest.raises(ProgramsError, match=r"none of 3 programs .*no vote on any training row \(50 abstain\)"):
        ran("method=program_files", path, "dataset.limit=50")


def test_no_accepted_program_is_one_sentence_with_reasons(ran, tmp_path: Path) -> None:
    path = programs_in(tmp_path / "p", "def f(t): return 1")
    with pytest.raises(ProgramsError, match=r"none of 1 programs was accepted \(0\.py: defines no label_function\)"):
        ran("method=program_files", path, "dataset.limit=50", "label_model=majority")


def test_rejected_programs_are_in_the_record_and_the_others_count(main_job, ran, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(main_job[0].directory / "programs", folder)
    (folder / "90.py").write_text("import os\ndef label_function(t):\n    os._exit(0)")
    (folder / "91.py").write_text("import socket\ndef label_function(t): return 1")
    (folder / "92.py").write_text("def other(t): return 1")
    record = ran("method=program_files", f"method.path={folder}", "seed=s0", "end_model.max_epochs=3").record
    assert record.label_model["metrics"] == main_job[0].record.label_model["metrics"]
    reasons = {r["origin"]: r["reason"] for r in record.programs["rejected"]}
    assert set(reasons) == {"90.py", "91.py", "92.py"}
    assert reasons["92.py"] == "defines no label_function"


class Interrupting(NoProgress):
    def start(self, what: str, total: int | None) -> None:
        if what.startswith("extracting"):
            raise KeyboardInterrupt


def test_ctrl_c_leaves_a_failed_record_that_says_so_and_the_next_run_goes_on(ran, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ran("+experiment=tiny", progress=Interrupting())
    (folder,) = (p for p in (tmp_path / "outputs" / "runs").iterdir() if not p.name.startswith("."))
    record = RunRecord.read(folder)
    assert record is not None
    assert (record.status, record.error) == (RunStatus.FAILED, "interrupted")
    assert ran("+experiment=tiny").record.status is RunStatus.FINISHED
