"""A run with several extractors, predict=combine and macro-F1: its record, its cache, and how it labels other rows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.labelers import CombinedLabeler, make_labeler
from alchemist_exp.labeling.model_labeler import ModelLabeler
from alchemist_exp.labeling.row_labeler import RowLabeler
from alchemist_exp.labeling.run_files import check_run_files, stored_run
from alchemist_exp.pipeline.run import RunResult, run
from alchemist_exp.results.comparison import compare_runs
from alchemist_exp.results.record import RunRecord
from alchemist_exp.results.runs import index_runs

PART = "feature_extractor.parts"
COMBINED = (
    "+experiment=tiny", "seed=five", "logger=none", "label_model=majority", "feature_extractor=combined",
    "predict=combine", "dataset.metric=macro_f1",
    f"{PART}.words.n_components=8", f"{PART}.chars.n_components=8", f"{PART}.chars.max_ngram=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def combined(tmp_path_factory: pytest.TempPathFactory, composed) -> RunResult:
    composition = composed(*COMBINED, f"paths.outputs={tmp_path_factory.mktemp('combined') / 'outputs'}")
    return run(config.build(composition), config.to_container(composition), list(COMBINED), NoProgress())


@pytest.fixture
def copied(combined: RunResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(combined.directory, tmp_path / "run"))


def labeler_of(directory: Path) -> RowLabeler:
    check_run_files(directory)
    record = RunRecord.read(directory)
    assert record is not None
    return make_labeler(stored_run(directory, record), "model", Consent(), "seccomp")


def change(path: Path, *keys: str, to: object) -> None:
    stored = inner = json.loads(path.read_text(encoding="utf-8"))
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    path.write_text(json.dumps(stored), encoding="utf-8")


def test_the_record_has_the_ensemble_the_mixture_and_the_use_of_gold(combined: RunResult) -> None:
    record = combined.record
    assert any(use.startswith("valid: mixing weight") for use in record.data["gold_used"])
    assert any(use.startswith("valid: class offsets") for use in record.data["gold_used"])
    assert 0 <= record.end_model["combined"]["weight"] <= 1
    assert len(record.end_model["combined"]["class_offsets"]) == 2
    assert np.shape(record.end_model["class_offsets"]) == (5, 2)
    for scores in (record.end_model["ensemble"]["metrics"], record.end_model["combined"]["metrics"]):
        assert {split: one["rows"] for split, one in scores.items()} == {"valid": 100, "test": 100}
    labels = pd.read_parquet(combined.directory / "labels.parquet")
    test = labels[labels["split"] == "test"]
    right = (test["predicted"] == test["gold"]).mean()
    assert right == pytest.approx(record.end_model["combined"]["metrics"]["test"]["accuracy"])
    assert set(record.data["zero_features"]) == {"train", "valid", "test"}
    report = compare_runs(index_runs(combined.directory.parent.parent).runs, combined.directory.parent.parent)
    row = report.flat.iloc[0]
    assert row["score"] == "macro F1"
    assert row["ensemble"] == record.end_model["ensemble"]["metrics"]["test"]["macro_f1"]
    assert row["combined"] == record.end_model["combined"]["metrics"]["test"]["macro_f1"]


def test_each_part_is_cached_as_the_only_extractor_would_be(combined: RunResult, composed) -> None:
    outputs = combined.directory.parent.parent
    features = outputs / "cache" / "features"
    entries = {path.name for path in features.iterdir()}
    assert len(entries) == 3
    overrides = ["+experiment=tiny", "label_model=majority", "feature_extractor=tfidf", f"paths.outputs={outputs}"]
    composition = composed(*overrides, "feature_extractor.n_components=8")
    run(config.build(composition), config.to_container(composition), overrides, NoProgress())
    assert {path.name for path in features.iterdir()} == entries


def test_new_rows_get_the_mixture_of_the_run(combined: RunResult, copied: Path) -> None:
    labeler = labeler_of(copied)
    assert isinstance(labeler, CombinedLabeler)
    assert any("programs run on the rows" in note for note in labeler.notes)
    labels = pd.read_parquet(combined.directory / "labels.parquet")
    test = labels[labels["split"] == "test"]
    found = labeler.label([*test["text"], ""])
    assert [labeler.classes[index] for index in found.classes[:-1]] == test["predicted"].tolist()
    assert np.allclose(found.probs[:-1].max(axis=1), test["confidence"], atol=1e-5)
    assert found.classes[-1] == -1
    assert found.votes.shape == (101, 0)


def test_without_programs_the_distilled_model_labels_alone_and_says_so(copied: Path) -> None:
    shutil.rmtree(copied / "label_model")
    labeler = labeler_of(copied)
    assert isinstance(labeler, ModelLabeler)
    assert "the distilled model labels alone" in labeler.notes[-1]


def test_the_values_of_a_strangers_run_are_checked(copied: Path) -> None:
    parts = ("components", "feature_extractor", "values", "parts")
    stored = json.loads((copied / "components.json").read_text(encoding="utf-8"))
    words = stored["components"]["feature_extractor"]["values"]["parts"]["words"]
    nested = {"class": "combined", "source_fingerprint": None, "values": {"name": "combined", "parts": {"a": words}}}
    weights = {"name": "t", "model": "/etc", "revision": "main", "pooling": "mean", "normalize": False}
    encoder = {"class": "transformer", "values": {**weights, "max_length": 8, "batch_size": 2}}
    for value, message in (
        ({"words": words, "chars": nested}, r"feature_extractor\.parts\.chars consists of parts itself"),
        ({"words": words, "chars": {"class": "os.system", "values": {}}}, "is not part of this package"),
        ({"words": words, "chars": {"class": "tfidf"}}, "its values is NoneType"),
        ({"words": words, "chars": 3}, "its chars is int"),
        ({f"p{n}": words for n in range(101)}, "has 101 parts"),
        ({}, "parts is empty"),
        ({"words": words}, "saved with other parts than words"),
        ({"words": words, "../chars": words}, r"has the name '\.\./chars'"),
    ):
        change(copied / "components.json", *parts, to=value)
        with pytest.raises(AlchemistError, match=message):
            labeler_of(copied)
    change(copied / "components.json", *parts, to={"words": words, "chars": encoder})
    (copied / "model" / "parts" / "chars" / "encoder.json").write_text(json.dumps({"directory": "/dev", "weights": {}}))
    with pytest.raises(AlchemistError, match="reads /dev, which is outside of the run"):
        labeler_of(copied)


@pytest.mark.parametrize("weight", ["a", 2, -0.1, True, None, [1]])
def test_the_weight_of_a_strangers_run_is_checked(copied: Path, weight: object) -> None:
    change(copied / "record.json", "end_model", "combined", to={"weight": weight})
    with pytest.raises(AlchemistError, match="not a number from 0 to 1"):
        labeler_of(copied)


@pytest.mark.parametrize("offsets", [[0.5], [0.5, "a"], [0.5, 7.0], [0.5, True], {"a": 1}])
def test_the_class_offsets_of_a_strangers_run_are_checked(copied: Path, offsets: object) -> None:
    change(copied / "record.json", "end_model", "combined", to={"weight": 0.5, "class_offsets": offsets})
    with pytest.raises(AlchemistError, match="not a list of 2 numbers from -6 to 6"):
        labeler_of(copied)


def test_a_run_without_class_offsets_is_applied_without_them(copied: Path) -> None:
    change(copied / "record.json", "end_model", "combined", to={"weight": 0.5})
    labeler = labeler_of(copied)
    assert isinstance(labeler, CombinedLabeler)
    assert labeler.class_offsets == ()
