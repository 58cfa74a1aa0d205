"""The whole run in this process, sockets blocked but for loopback."""

import copy
import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp import config
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import DataError, ProgramsError, StoreError
from alchemist_exp.core.progress import NoProgress, Progress
from alchemist_exp.data.kinds import KIND_FILE
from alchemist_exp.data.text_rows import TextRows
from alchemist_exp.pipeline import artifacts
from alchemist_exp.pipeline.run import RunResult, run
from alchemist_exp.pipeline.run_directory import RESERVE
from alchemist_exp.results.record import RunRecord, RunStatus

# The check in new interpreters costs as much as all other runs of the programs together. The main job has it.
QUICK = "sandbox.determinism_rows=0"
TINY = ("+experiment=tiny", "label_model=majority", "method.n_programs=1")


@pytest.fixture
def ran_alone(composed, tmp_path: Path):
    """Makes runs that share nothing with other tests."""

    def run_with(*overrides: str, outputs: str = "outputs", progress: Progress | None = None) -> RunResult:
        cfg = composed("logger=none", QUICK, f"paths.outputs={tmp_path / outputs}", *overrides)
        return run(config.build(cfg), config.to_container(cfg), list(overrides), progress or NoProgress())

    return run_with


@pytest.fixture
def ran(ran_alone, shared_stages):
    """Makes runs that take votes and features from equal runs."""
    return ran_alone


def without_times(record: RunRecord) -> dict[str, Any]:
    plain = copy.deepcopy(vars(record))
    for name in ("started_at", "finished_at", "seconds"):
        plain.pop(name)
    plain["config"].pop("paths")
    for program in plain["programs"]["list"]:
        assert program.pop("cpu_seconds") > 0
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
    assert record.label_model["warnings"] == []
    first = record.programs["list"][0]
    assert (first["file"], first["polarity"], first["wrong"]) == ("general_00.py", ["ham", "spam"], None)
    assert 0 < first["conflict"] < first["overlap"] <= first["coverage"]
    assert 0 < first["influence"] < 0.1
    for section, rows in ((record.label_model, {"train": 1586, "valid": 120}), (record.end_model, {"test": 250})):
        for split, n_rows in rows.items():
            assert sum(map(sum, section["by_class"][split]["confusion"])) == n_rows
    test = record.end_model["metrics"]["test"]
    assert test["accuracy"]["mean"] >= 0.92
    assert len(test["accuracy"]["per_seed"]) == 5


def test_a_run_shares_the_files_of_its_extractor_with_the_cache_and_names_its_entries(main_job) -> None:
    result, root = main_job
    model = result.directory / "model"
    features = [root / "cache" / entry for entry in result.record.cache_entries if entry.startswith("features/")]
    assert len(features) == 3  # of words, of characters, and of both
    assert len([entry for entry in result.record.cache_entries if entry.startswith("votes/")]) == 40
    shared = [entry for entry in features if (entry / "components.npy").exists()]
    for part in ("words", "chars"):
        assert any((model / "parts" / part / "components.npy").samefile(entry / "components.npy") for entry in shared)
    assert (model / "end_model.pt").stat().st_nlink == 1


def test_a_logger_gets_cost_notes_sources_and_the_confusion_matrix(ran) -> None:
    tiny = ("dataset.limit=100", "end_model.max_epochs=1", "seed=s0", "label_model=majority", "logger=csv")
    result = ran(*tiny)
    tables = {path.stem: list(csv.reader(path.open())) for path in (result.directory / "csv").iterdir()}
    summary = dict(tables["summary"])
    assert (summary["programs/accepted"], summary["cost/calls"], summary["cost/spent_usd"]) == ("10", "10", "0.0")
    assert float(summary["coverage/train"]) == result.record.label_model["coverage"]["train"]
    assert summary["notes"] == str(len(tables["notes"]) - 1)
    assert [row[2] for row in tables["program_sources"][1:]] == ["votes"] * 10
    assert all("def label_function(" in row[3] for row in tables["program_sources"][1:])
    assert [row[:2] for row in tables["confusion_test"][1:]] == [
        [a, b] for a in ("ham", "spam") for b in ("ham", "spam")
    ]
    assert sum(int(row[2]) for row in tables["confusion_test"][1:]) == result.record.data["rows"]["test"]


def test_files_are_copied_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    class Model:
        def save(self, directory: Path) -> None:
            (directory / "model.json").write_text("model")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    entry = tmp_path / "entry"
    entry.mkdir()
    for name in ("train.npy", "terms.json", "model.json"):
        (entry / name).write_text("extractor")
    artifacts.save_model(tmp_path / "model", entry, Model(), TextRows())
    saved = {path.name: path.read_text() for path in (tmp_path / "model").iterdir() if path.name != KIND_FILE}
    assert saved == {
        "terms.json": "extractor",
        "model.json": "model",
    }
    assert (entry / "model.json").read_text() == "extractor"


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
        "load", "tracking", "prompts", "programs", "votes", "label_model", "evaluate", "cost", "write", "features",
        "end_model", "total",
    }  # fmt: skip
    assert raw["data"]["gold_used"] == [
        "valid: class balance (120 rows)", "valid: warnings (120 rows)", "train: scoring of programs (1,586 rows)",
        "valid: scoring of the class order (120 rows)", "valid: early stopping (120 rows)",
        "train: scoring (1,586 rows)", "valid: scoring (120 rows)", "test: scoring (250 rows)",
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

    def full_too(path: Path, _: bytes) -> None:
        raise StoreError(f"{path} could not be written")

    monkeypatch.setattr("alchemist_exp.pipeline.artifacts.save_programs", full)
    monkeypatch.setattr("alchemist_exp.tracking.csv_files.write_bytes", full_too)  # when the logger is closed
    with pytest.raises(StoreError, match="the disk is full"):
        ran(*TINY, "logger=csv")
    (folder,) = (p for p in (tmp_path / "outputs" / "runs").iterdir() if not p.name.startswith("."))
    record = RunRecord.read(folder)
    assert record is not None
    assert (record.status, record.error) == (RunStatus.FAILED, "the disk is full")
    monkeypatch.undo()
    again = ran(*TINY)
    assert again.record.status is RunStatus.FINISHED
    assert not (again.directory / RESERVE).exists()
    assert not (again.directory / "programs" / "half.py").exists()


class Interfering(NoProgress):
    """Calls a function when features are extracted."""

    def __init__(self, interfere: Callable[[], object]) -> None:
        self.interfere = interfere

    def start(self, what: str, total: int | None) -> None:
        if what.startswith("extracting"):
            self.interfere()


def test_a_run_whose_directory_is_removed_meanwhile_has_not_finished(ran_alone, tmp_path: Path) -> None:
    runs = tmp_path / "outputs" / "runs"
    with pytest.raises(StoreError, match=r"was removed or changed while the run went on; run again"):
        ran_alone(*TINY, progress=Interfering(lambda: shutil.rmtree(runs, ignore_errors=True)))
    (record_file,) = runs.glob("*/record.json")
    record = RunRecord.read(record_file.parent)
    assert record is not None
    assert record.status is RunStatus.FAILED
    assert ran_alone(*TINY).record.status is RunStatus.FINISHED


def test_no_run_replaces_files_behind_a_symbolic_link(ran, tmp_path: Path) -> None:
    first = ran(*TINY)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".hidden").mkdir(parents=True)
    shutil.rmtree(first.directory)
    first.directory.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is a symbolic link, and a run replaces files in its directory; remove"):
        ran(*TINY)
    assert [path.name for path in elsewhere.iterdir()] == [".hidden"]
    first.directory.unlink()
    first.directory.mkdir()
    (first.directory / "programs").symlink_to(elsewhere)
    (first.directory / ".hidden").symlink_to(elsewhere)
    again = ran(*TINY)
    assert not (again.directory / "programs").is_symlink()
    assert [path.name for path in elsewhere.iterdir()] == [".hidden"]


def test_labels_programs_and_model_lie_beside_the_record(main_job) -> None:
    import pandas

    folder = main_job[0].directory
    labels = pandas.read_parquet(folder / "labels.parquet")
    assert len(labels) == 1586 + 120 + 250
    assert set(labels["predicted"]) == {"ham", "spam"}
    names = sorted(path.name for path in (folder / "programs").glob("*.py"))
    assert len(names) == 10
    assert [name for name in labels.columns if name.startswith("vote ")] == [f"vote {name}" for name in names]
    shares = {program["file"]: program["coverage"] for program in main_job[0].record.programs["list"]}
    train = labels[labels["split"] == "train"]
    assert {name: train[f"vote {name}"].notna().mean() for name in names} == pytest.approx(shares)


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
    programs = f"method.path={answer.directory / 'programs'}"
    quick = ("seed=s0", "end_model.max_epochs=1", "feature_extractor=tfidf", "feature_extractor.n_components=8")
    again = ran("method=program_files", programs, *quick).record
    assert again.label_model["metrics"] == answer.record.label_model["metrics"]
    assert again.cost["calls"] == 0


def test_a_finished_run_answers_from_its_record_and_force_runs_it_again(ran) -> None:
    first = ran(*TINY)
    again = ran(*TINY)
    assert (first.reused, again.reused) == (False, True)
    assert again.record == first.record
    locks = first.directory.parent / ".locks"
    shutil.rmtree(locks)
    locks.touch()  # no lock can be made, as on a read-only file system
    assert ran(*TINY).reused
    locks.unlink()
    old = json.loads((first.directory / "record.json").read_text()) | {"schema_version": 1}
    (first.directory / "record.json").write_text(json.dumps(old))
    assert not ran(*TINY).reused
    forced = ran(*TINY, "force=true")
    assert not forced.reused
    assert without_times(forced.record) | {"cost": None, "config": None, "overrides": None} == (
        without_times(first.record) | {"cost": None, "config": None, "overrides": None}
    )


def test_the_whole_run_twice_gives_equal_records_apart_from_times(ran_alone) -> None:
    small = ("dataset.limit=100", "seed.values=[0,1]", "end_model.max_epochs=3")
    one, two = (ran_alone(*small, outputs=f"outputs{i}").record for i in (1, 2))
    assert without_times(one) == without_times(two)


@pytest.mark.parametrize("choice", ["logger=csv", "paths.data=elsewhere", "sandbox.workers=1", "debug=trace"])
def test_what_does_not_matter_leaves_the_run_key(composed, choice: str) -> None:
    def key(*overrides: str) -> str:
        experiment = config.build(composed("logger=none", *TINY, *overrides))
        return experiment.run_key(experiment.dataset.load().fingerprint)

    assert key(choice) == key()
    assert key("seed=s1") != key()


def test_a_seed_scores_the_same_alone_and_among_five(main_job, ran, tmp_path: Path) -> None:
    shutil.copytree(main_job[1] / "cache", tmp_path / "outputs" / "cache")  # its votes and features
    alone = ran("seed=s3").record.end_model["metrics"]["test"]["accuracy"]["per_seed"]
    among = main_job[0].record.end_model["metrics"]["test"]["accuracy"]["per_seed"][3]
    assert alone == pytest.approx([among], abs=1e-3)


@pytest.mark.parametrize(("dataset", "coverage"), [("youtube", 0.877), ("sms", 0.405)])
def test_human_votes_cover_what_was_published(ran, dataset: str, coverage: float) -> None:
    record = ran(
        "method=human", f"dataset={dataset}", "label_model=majority", "seed=s0", "end_model.max_epochs=1",
        "feature_extractor=tfidf", "feature_extractor.n_components=8",
    ).record  # fmt: skip
    assert record.label_model["coverage"]["train"] == pytest.approx(coverage, abs=5e-4)


def test_sms_reaches_its_figure(ran) -> None:
    record = ran(
        "dataset=sms",
        "seed=s0",
        "end_model.max_epochs=1",
        "feature_extractor=tfidf",
        "feature_extractor.n_components=8",
    ).record
    assert record.label_model["metrics"]["test"]["f1"] >= 0.94


def test_without_gold_no_stage_uses_any_but_for_scoring(ran) -> None:
    record = ran("gold=none", "dataset.limit=100", "seed=s0", "end_model.max_epochs=3").record
    assert [use.removesuffix(" (100 rows)") for use in record.data["gold_used"]] == [
        "train: scoring of programs", "valid: scoring of the class order", "train: scoring", "valid: scoring",
        "test: scoring",
    ]  # fmt: skip
    assert all(note.startswith("Repeated texts") for note in record.notes)


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
        "dataset=sms", f"supplement={supplement}", "dataset.limit=50", "label_model=majority", "end_model=none",
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
    quick = ("seed=s0", "end_model.max_epochs=1", "feature_extractor=tfidf", "feature_extractor.n_components=8")
    record = ran("method=program_files", f"method.path={folder}", *quick).record
    assert record.label_model["metrics"] == main_job[0].record.label_model["metrics"]
    reasons = {r["origin"]: r["reason"] for r in record.programs["rejected"]}
    assert set(reasons) == {"90.py", "91.py", "92.py"}
    assert reasons["92.py"] == "defines no label_function"


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_leaves_a_failed_record_that_says_so_and_the_next_run_goes_on(ran_alone, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ran_alone(*TINY, progress=Interfering(interrupt))
    (folder,) = (p for p in (tmp_path / "outputs" / "runs").iterdir() if not p.name.startswith("."))
    record = RunRecord.read(folder)
    assert record is not None
    assert (record.status, record.error) == (RunStatus.FAILED, "interrupted")
    assert ran_alone(*TINY).record.status is RunStatus.FINISHED


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


SPAM, HAM = "win cash {} now", "see you at {} then"
KEYWORD_PROGRAMS = (
    "def label_function(t): return 1 if 'cash' in t else 0",
    "def label_function(t): return 1 if 'win' in t else -1",
)


@pytest.fixture
def partly_empty(tmp_path: Path) -> Path:
    """Three splits in which every third row has no text, in another way each time."""
    absent: list[dict[str, Any]] = [{}, {"text": None}, {"text": ""}, {"text": " \n"}, {"text": "\u200b"}]
    data = tmp_path / "data"
    data.mkdir()
    for split, n_rows in (("train", 60), ("valid", 30), ("test", 30)):
        rows = [
            (absent[i % 5] if i % 3 == 0 else {"text": (SPAM if i % 2 else HAM).format(f"{split}{i}")})
            | {"label": i % 2, "votes": [i % 2, -1]}
            for i in range(n_rows)
        ]
        write_jsonl(data / f"{split}.jsonl", rows)
    return data


def files_of(data: Path) -> list[str]:
    return [
        "dataset=files", f"dataset.path={data}", "dataset.classes=[ham,spam]", "dataset.prompt=label", "seed=s0",
        "label_model=majority", "end_model.max_epochs=2",
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["program_files", "human"])
def test_rows_without_text_get_no_label_and_no_row_shifts(ran, tmp_path: Path, partly_empty: Path, method: str) -> None:
    import pandas

    chosen = (
        ["method=human", "dataset.human_votes_column=votes"]
        if method == "human"
        else ["method=program_files", programs_in(tmp_path / "p", *KEYWORD_PROGRAMS)]
    )
    result = ran(*files_of(partly_empty), *chosen)
    record, labels = result.record, pandas.read_parquet(result.directory / "labels.parquet")
    assert record.data["rows"] == {"train": 60, "valid": 30, "test": 30}
    assert record.data["rows_without_text"] == {"train": 20, "valid": 10, "test": 10}
    assert record.label_model["coverage"]["train"] == 1.0
    assert record.label_model["metrics"]["test"]["rows"] == 20
    assert "20 of 60 rows of train (first: row 1 of train.jsonl)" in record.notes[0]
    assert len(labels) == 120
    train = labels[labels["split"] == "train"].reset_index(drop=True)
    assert train["row"].tolist() == list(range(60))
    empty = train.index % 3 == 0
    for column in ("weak_label", "p(ham)", "predicted", "confidence"):
        assert train[column].isna().tolist() == empty.tolist()
    assert train["gold"].tolist() == ["ham", "spam"] * 30
    assert (train["weak_label"] == train["gold"])[~empty].all()


def test_zero_shot_does_not_ask_about_rows_without_text(composed, partly_empty: Path) -> None:
    from alchemist_exp.pipeline.plan import plan

    experiment = config.build(composed(*files_of(partly_empty), "method=zero_shot", "llm=openai"))
    planned = plan(experiment, experiment.dataset.load())
    assert planned.calls == 40
    assert any("20 of 60 rows of train" in warning for warning in planned.warnings)


def test_a_column_of_numbers_stops_plan_and_run_before_any_call(
    composed, ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alchemist_exp.pipeline.plan import plan

    monkeypatch.setenv("OPENAI_API_KEY", "any")
    write_jsonl(tmp_path / "a.jsonl", [{"text": f"{i}"} for i in range(20)])
    overrides = [*files_of(tmp_path / "a.jsonl"), "method=zero_shot", "llm=openai"]
    experiment = config.build(composed(*overrides))
    with pytest.raises(DataError, match="are numbers or dates"):
        plan(experiment, experiment.dataset.load())
    with pytest.raises(DataError, match="are numbers or dates"):
        ran(*overrides)
    assert not (tmp_path / "outputs" / "runs").exists()


def test_repeated_texts_are_counted_and_the_other_rows_scored(main_job) -> None:
    record = main_job[0].record
    assert record.data["repeats"] == {
        "within": {"train": 186, "valid": 11, "test": 36},
        "across": {"train": {}, "valid": {"train": 17}, "test": {"train": 33, "valid": 40}},
        "in_earlier_split": {"valid": {"rows": 17, "unchanged": 7}, "test": {"rows": 61, "unchanged": 28}},
    }
    assert record.label_model["metrics_unseen"]["test"]["rows"] == 250 - 61
    assert 0.9 < record.end_model["metrics_unseen"]["test"]["accuracy"]["mean"] < 0.96
    assert record.notes == [
        "Repeated texts, by letters and digits: 17 of 120 rows of valid are in train (17), 7 of them without a change; "
        "61 of 250 rows of test are in train (33) or valid (40), 28 of them without a change; rows that repeat an "
        "earlier one of their own split: 186 of train, 11 of valid, 36 of test."
    ]


def test_other_columns_are_in_the_labels_file(ran, tmp_path: Path) -> None:
    import pandas

    texts = [(SPAM if i % 2 else HAM).format(i) if i != 2 else "" for i in range(20)]
    write_jsonl(tmp_path / "a.jsonl", [{"text": t, "id": 100 + i, "split": "mine"} for i, t in enumerate(texts)])
    programs = programs_in(tmp_path / "p", *KEYWORD_PROGRAMS)
    result = ran(*files_of(tmp_path / "a.jsonl"), "method=program_files", programs, "dataset.limit=10")
    labels = pandas.read_parquet(result.directory / "labels.parquet")
    assert labels["id"].tolist() == list(range(100, 110))
    assert labels["text"].tolist() == texts[:10]
    assert set(labels["split"]) == {"train"}
    assert set(labels["input_split"]) == {"mine"}


def test_features_of_zero_are_a_note_with_the_share(ran, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for split, first in (("train", 0), ("valid", 50)):
        chinese = [
            {"text": ("点击领奖" if i % 2 else "电影好看") + chr(0x4E00 + first + i), "label": i % 2} for i in range(20)
        ]
        write_jsonl(data / f"{split}.jsonl", chinese)
    programs = programs_in(tmp_path / "p", "def label_function(t): return 1 if '领奖' in t else 0")
    chosen = [*files_of(data), "method=program_files", programs]
    words = ran(*chosen, "feature_extractor=tfidf").record
    (note,) = [note for note in words.notes if note.startswith("The features")]
    assert "100% of valid are all zero" in note
    assert "feature_extractor=tfidf_chars" in note
    characters = ran(*chosen, "feature_extractor=tfidf_chars").record
    assert characters.data["zero_features"] == {"train": 0, "valid": 0}
    assert not any(note.startswith("The features") for note in characters.notes)


def test_without_a_positive_row_in_valid_early_stopping_watches_pseudo_labels(
    ran, tmp_path: Path, partly_empty: Path
) -> None:
    write_jsonl(partly_empty / "valid.jsonl", [{"text": HAM.format(i), "label": 0} for i in range(12)])
    programs = programs_in(tmp_path / "p", *KEYWORD_PROGRAMS)
    metric = ["dataset.metric=f1", "dataset.positive_class=spam"]
    record = ran(*files_of(partly_empty), *metric, "method=program_files", programs).record
    assert "valid: early stopping" not in record.data["gold_used"]
    assert any(note.startswith("Valid has no rows of spam, so early stopping") for note in record.notes)
    assert record.label_model["metrics"]["valid"]["f1"] is None
    assert record.end_model["metrics"]["valid"]["f1"] is None
    assert record.end_model["metrics"]["test"]["f1"] is not None


@pytest.mark.parametrize(
    ("label_model", "n_tied", "how"),
    [("majority", 20, "one of them at random"), ("weighted_majority", 0, "more frequent in the class balance")],
)
def test_ties_are_counted_and_named(ran, partly_empty: Path, label_model: str, n_tied: int, how: str) -> None:
    votes = [[0, 1], [1, 1], [0, 0]]
    write_jsonl(partly_empty / "train.jsonl", [{"text": HAM.format(i), "votes": votes[i % 3]} for i in range(60)])
    write_jsonl(partly_empty / "valid.jsonl", [{"text": SPAM.format(i), "label": int(i < 4)} for i in range(12)])
    human = ["method=human", "dataset.human_votes_column=votes"]
    record = ran(*files_of(partly_empty), *human, f"label_model={label_model}").record
    assert record.label_model["tied"]["train"] == n_tied
    (note,) = [note for note in record.notes if note.startswith("Ties: 20 of 60 labeled rows of train (33.3%)")]
    assert how in note
