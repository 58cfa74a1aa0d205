import json
from dataclasses import asdict
from pathlib import Path

import pytest

from alchemist_exp.core.errors import StoreError
from alchemist_exp.results.provenance import git_state, package_versions
from alchemist_exp.results.record import RECORD, SECTIONS, OutdatedRecordError, RunRecord, RunStatus


def record() -> RunRecord:
    return RunRecord(
        run_key="k", status=RunStatus.FINISHED, started_at="t", **{name: {"a": 1} for name in SECTIONS}, notes=["é"]
    )


def test_a_record_reads_back(tmp_path: Path) -> None:
    record().write(tmp_path)
    assert RunRecord.read(tmp_path) == record()


def test_no_record_is_none(tmp_path: Path) -> None:
    assert RunRecord.read(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is broken"),
        ("[]", "no schema_version"),
        ("{}", "no schema_version"),
        ('{"schema_version": "1"}', "no schema_version"),
        ('{"schema_version": 2}', "is broken"),
        ('{"schema_version": 2, "run_key": "k", "started_at": "t", "status": "odd"}', "is broken"),
        ('{"schema_version": 99}', "newer version"),
        ('{"schema_version": 2, "run_key": "k", "started_at": "t", "status": "finished"}', "finished without config"),
        ('{"a": ' + "[" * 100_000, "is broken"),
    ],
)
def test_a_broken_record_is_one_sentence_with_its_path(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(StoreError, match=message) as caught:
        RunRecord.read(tmp_path)
    assert str(tmp_path / RECORD) in str(caught.value)


def test_a_record_of_an_older_schema_is_one_sentence_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(json.dumps(asdict(record()) | {"schema_version": 1}))
    with pytest.raises(
        OutdatedRecordError, match=r"schema version 1, .* reads version 2; run it again with `alchemist"
    ):
        RunRecord.read(tmp_path)
    assert RunRecord.read_current(tmp_path) is None


def test_unknown_keys_of_a_later_version_with_the_same_schema_are_ignored(tmp_path: Path) -> None:
    record().write(tmp_path)
    raw = json.loads((tmp_path / RECORD).read_text()) | {"added_later": 1}
    (tmp_path / RECORD).write_text(json.dumps(raw))
    assert RunRecord.read(tmp_path) == record()


@pytest.mark.parametrize("started", ["2026-11-22T10:00:00+00:00", "2999-01-01T00:00:00+00:00"])
def test_a_run_never_ends_before_it_began(started: str) -> None:
    record = RunRecord(run_key="k", status=RunStatus.STARTED, started_at=started)
    record.end(RunStatus.FAILED, "the clock was set back")
    assert record.finished_at is not None
    assert record.finished_at >= started
    assert (record.status, record.error) == (RunStatus.FAILED, "the clock was set back")


def test_provenance_names_versions_and_a_commit_or_none() -> None:
    versions = package_versions()
    assert versions["numpy"]
    assert versions["torch"]
    state = git_state()
    assert state["commit"] is None or len(state["commit"]) == 40
