"""A large train split: fitted on a sample, with texts that stay in Arrow's memory."""

from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.artifact_cache import read_array, row_chunks, take_rows
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.core.types import Split
from alchemist_exp.data import text_data
from alchemist_exp.data.text_column import TextColumn
from alchemist_exp.features.chunk_cache import write_rows
from alchemist_exp.pipeline.run import run
from alchemist_exp.results.record import RunStatus


def test_fit_rows_alters_keys_only_where_it_has_an_effect(composed) -> None:
    def keys(*overrides: str) -> tuple[str, object]:
        experiment = config.build(composed("dataset=youtube", *overrides))
        return experiment.dataset.load().fingerprint, experiment.component_keys()

    default = keys()
    assert keys("dataset.fit_rows=null") == default
    assert keys("dataset.fit_rows=1586") == default
    fingerprint, components = keys("dataset.fit_rows=1585")
    assert (fingerprint != default[0], components == default[1]) == (True, True)


def test_the_sample_is_the_same_each_time(composed) -> None:
    def sample(fit_rows: int) -> np.ndarray:
        return config.build(composed("dataset=youtube", f"dataset.fit_rows={fit_rows}")).dataset.load().fit_sample

    rows = sample(300)
    assert np.array_equal(rows, sample(300))
    assert (len(np.unique(rows)), bool((np.diff(rows) > 0).all()), rows.max() < 1586) == (300, True, True)
    assert sample(1586) is None


def test_fit_rows_must_be_positive(composed) -> None:
    with pytest.raises(ConfigError, match="fit_rows=0"):
        config.build(composed("dataset=youtube", "dataset.fit_rows=0"))


def test_a_run_is_fitted_on_the_sample_and_labels_all_rows(
    composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts are lazy, and give the same votes and labels as a list."""
    overrides = ["dataset=youtube", "dataset.limit=200", "seed=s0", "label_model=majority", "end_model.max_epochs=5"]
    overrides += ["feature_extractor=tfidf", "feature_extractor.n_components=32", "sandbox.determinism_rows=0"]
    overrides += ["method.n_programs=4"]

    def ran(outputs: str, *more: str):
        cfg = composed(*overrides, f"paths.outputs={tmp_path / outputs}", *more)
        return run(config.build(cfg), config.to_container(cfg), [], NoProgress())

    whole = ran("list")
    monkeypatch.setattr(text_data, "LAZY_ROWS", 100)
    assert isinstance(config.build(composed("dataset=youtube")).dataset.load().texts(Split.TRAIN), TextColumn)
    lazy, sampled = ran("lazy"), ran("sampled", "dataset.fit_rows=100")
    for one in (lazy, whole):
        for program in one.record.programs["list"]:
            assert program.pop("cpu_seconds") >= 0
    for section in ("programs", "label_model", "end_model", "data"):
        assert getattr(lazy.record, section) == getattr(whole.record, section)
    files = [(one.directory / "labels.parquet").read_bytes() for one in (whole, lazy)]
    assert files[0] == files[1]
    record = sampled.record
    assert record.status is RunStatus.FINISHED
    assert (whole.record.data["fit_rows"], record.data["fit_rows"]) == (200, 100)
    assert record.label_model["coverage"] == whole.record.label_model["coverage"]
    assert any("100 of 200 rows" in note for note in record.notes)
    assert record.end_model["metrics"]["test"]["accuracy"]["mean"] > 0.6


def test_features_are_written_and_read_in_chunks(tmp_path: Path) -> None:
    rows = np.arange(60, dtype=np.float32).reshape(20, 3)
    write_rows(tmp_path / "rows.npy", 20, (rows[start : start + 8] for start in (0, 8, 16)))
    np.save(tmp_path / "saved.npy", rows)
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()
    mapped = read_array(tmp_path / "rows.npy")
    assert np.array_equal(np.concatenate([chunk.copy() for chunk in row_chunks(mapped, 7)]), rows)
    chosen = np.array([0, 3, 19])
    assert np.array_equal(take_rows(mapped, chosen), rows[chosen])
    assert [len(chunk) for chunk in row_chunks(rows[:0])] == [0]
    write_rows(tmp_path / "empty.npy", 0, [rows[:0]])
    assert read_array(tmp_path / "empty.npy").shape == (0, 3)
    with pytest.raises(ValueError, match="expected 9"):
        write_rows(tmp_path / "wrong.npy", 9, [rows[:8]])
