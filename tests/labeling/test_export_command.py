"""`alchemist export` writes data, card, metadata, labeler.py, networks and the run; each has the labels of the run."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import absl.logging
import datasets
import mlcroissant
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from alchemist_exp import config
from alchemist_exp.cli import apply, export, programs
from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.export import bundle
from alchemist_exp.export.bundle import check_target
from alchemist_exp.export.networks import write_onnx, write_safetensors
from alchemist_exp.labeling import decoded_size
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.model_labeler import model_labeler
from alchemist_exp.labeling.run_files import open_run
from alchemist_exp.pipeline.compatibility import check_experiment
from tests.support.commands import apply_lines, run_command

# The handler of absl, which mlcroissant imports, closes its stream when Hydra configures logging in this process: it is
# the standard error of the capture of pytest, without which no later test runs.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

EVIL = "<script>alert(1)</script>|=1+1 [x](http://evil.example) _spam_"


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of the run, which tests only read; train has no gold labels, and some rows there no weak label."""
    directory = tmp_path_factory.mktemp("export")
    run = Path(shutil.copytree(finished, directory / "run"))
    labels = pd.read_parquet(run / "labels.parquet")
    in_train = labels["split"] == "train"
    labels.loc[in_train, "gold"] = None
    labels.loc[in_train & (labels["row"] < 10), ["weak_label", "p(ham)", "p(spam)"]] = None
    labels["label"] = "a column of the input"
    labels.to_parquet(run / "labels.parquet", index=False)
    assert export.main([str(run), "-o", str(directory / "out")]) == 0
    return directory / "out"


def test_datasets_and_mlcroissant_read_the_rows(exported: Path, finished: Path, tmp_path: Path) -> None:
    labels = pd.read_parquet(finished / "labels.parquet")
    found = datasets.load_dataset(str(exported), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in found.items()} == {"train": 100, "validation": 100, "test": 100}
    for column in ("label", "gold", "weak_label", "predicted", "vote general_00.py"):
        assert found["train"].features[column] == datasets.ClassLabel(names=["ham", "spam"])
    train = found["train"].to_pandas()
    expected = labels[labels["split"] == "train"].reset_index(drop=True)
    source = np.where(expected["weak_label"].isna() | (expected["row"] < 10), "model", "programs")
    assert train["label_source"].tolist() == source.tolist()
    names = np.where(source == "model", expected["predicted"], expected["weak_label"])
    assert [["ham", "spam"][c] for c in train["label"].astype(int)] == names.tolist()
    assert train["input_label"].unique().tolist() == ["a column of the input"]
    of_model = train[source == "model"]
    assert np.allclose(of_model["label_confidence"], expected["confidence"][source == "model"])
    test = found["test"].to_pandas()
    assert test["label_source"].unique().tolist() == ["gold"]
    assert test["label_confidence"].isna().all()
    lines = [json.loads(line) for line in (exported / "jsonl" / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["label"] for line in lines] == names.tolist()
    assert [line["label_source"] for line in lines] == source.tolist()

    metadata = mlcroissant.Dataset(jsonld=exported / "croissant.json")
    assert not metadata.metadata.issues.errors
    rows = list(metadata.records("train"))
    assert [row["train/2-label"] for row in rows] == train["label"].tolist()
    assert "rai:dataAnnotationProtocol" in read_json(exported / "croissant.json", what="the metadata")


def test_the_card_says_what_the_labels_are(exported: Path) -> None:
    _, front_matter, text = (exported / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    metadata = yaml.safe_load(front_matter)
    assert metadata["annotations_creators"] == ["machine-generated", "found"]
    assert metadata["license_name"].startswith("CC BY 4.0")
    for part in (
        "programs",
        "one_coin",
        "general_00.py",
        "ECE",
        "temperature",
        "valid: calibration (100 rows)",
        "CC BY",
    ):
        assert part in text


def test_the_card_of_an_edited_run_names_its_parent_and_its_file(copied: Path, tmp_path: Path) -> None:
    record = read_json(copied / "record.json", what="the record")
    record["config"]["method"] |= {"name": "program_files", "edited_from": "0a1b2c3d"}
    record["config"]["dataset"] |= {"name": "files", "path": "mine/tickets.csv"}
    record["data"]["name"] = "files"
    for number, program in enumerate(record["programs"]["list"]):
        program["parent_id"] = program["id"] if number else "f" * 24
    write_json(copied / "record.json", record)
    assert export.main([str(copied), "-o", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "edited from | run 0a1b2c3d, with 1 changed program |" in card
    assert "# tickets.csv, labeled by programs" in card


def test_a_run_that_asked_no_llm_names_none(copied: Path, tmp_path: Path) -> None:
    record = read_json(copied / "record.json", what="the record")
    assert record["cost"]["calls"] > 0
    record["cost"] |= {"calls": 0, "cached_calls": 0}
    write_json(copied / "record.json", record)
    assert export.main([str(copied), "-o", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| LLM | none |" in card
    assert "claude" not in card
    assert ", LLM none)" in (tmp_path / "out" / "croissant.json").read_text(encoding="utf-8")


def test_labels_that_take_too_much_memory_are_not_read(copied: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(decoded_size, "MAX_READ_BYTES", 1_000)
    for command in (
        lambda: export.main([str(copied), "-o", str(tmp_path / "out")]),
        lambda: programs.main(["diff", str(copied), str(copied)]),
    ):
        with pytest.raises(SystemExit):
            command()
        assert "has rows that take more than 1,000 bytes in memory, so it is not read." in capsys.readouterr().err


def test_the_labeler_has_the_labels_of_the_programs(exported: Path, monkeypatch: Patch, capsys: Capture) -> None:
    texts = [row["text"] for row in datasets.Dataset.from_parquet(str(exported / "data" / "test.parquet"))]
    lines = "".join(" ".join(text.split("\n")) + "\n" for text in [*texts, "", "x", "\u200b"])
    assert apply_lines(monkeypatch, lines, str(exported), "--with", "programs") == 0
    expected = [line.split("\t")[:2] for line in capsys.readouterr().out.removesuffix("\n").split("\n")]
    # -I and -S: no package can be imported.
    command = [sys.executable, "-I", "-S", str(exported / "labeler.py")]
    found = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, encoding="utf-8")
    assert [line.split("\t") for line in found.stdout.splitlines()] == expected
    assert found.stderr == ""
    refused = subprocess.run([*command, "rows.csv"], input=lines, capture_output=True, text=True, encoding="utf-8")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("usage: python labeler.py < FILE")


def test_an_export_labels_rows_as_its_run(exported: Path, finished: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("text\ncheck out my channel\nlunch?\n", encoding="utf-8")
    for using in ("model", "programs"):
        for run, out in ((exported, "a.csv"), (finished, "b.csv")):
            assert apply.main([str(run), "in.csv", "-o", out, "--with", using, "--overwrite"]) == 0
        assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()


def test_networks_predict_as_the_run(exported: Path) -> None:
    labeler = model_labeler(open_run(exported / "run"), Consent())
    features = labeler.features(["check out my channel", "lunch?", "subscribe"])
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    (probs,) = session.run(["probabilities"], {"features": features})
    assert np.allclose(probs, labeler.model.predict_proba(features).mean(axis=0), atol=1e-6)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["ham", "spam"]
    weights = load_file(exported / "model.safetensors")
    for i, layer in enumerate(labeler.model.layers()):
        assert np.array_equal(weights[f"weights.{i}"], layer.weights)


def test_onnx_is_the_mean_over_seeds(tmp_path: Path, mlp_of_three_seeds) -> None:
    fitted, features = mlp_of_three_seeds
    write_onnx(tmp_path / "model.onnx", fitted.layers(), ["a", "b"])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (probs,) = session.run(None, {"features": features})
    assert np.allclose(probs, fitted.predict_proba(features).mean(axis=0), atol=1e-6)


def test_calibration_is_in_the_record_and_in_the_model(finished: Path, composed) -> None:
    record = read_json(finished / "record.json", what="the record")
    assert "valid: calibration (100 rows)" in record["data"]["gold_used"]
    assert record["end_model"]["temperature"] > 0
    assert set(record["label_model"]["calibration"]) == {"train", "valid", "test"}
    for section in ("label_model", "end_model"):
        for split in record[section]["calibration"].values():
            assert 0 <= split["ece"] <= 1
            assert sum(one["rows"] for one in split["bins"]) == split["rows"]
    experiment = config.build(composed("dataset=youtube", "end_model.calibrate=true", "gold=none"))
    with pytest.raises(ConfigError, match=r"end_model\.calibrate=true .* gold is none; use gold=valid"):
        check_experiment(experiment)


def test_a_run_without_an_end_model_knows_the_kind_of_its_rows(copied: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.rmtree(copied / "model")
    write_json(
        copied / "label_model" / "rows.json",
        {"kind": "records", "columns": [{"name": "text", "type": "str", "category": False}]},
    )
    assert export.main([str(copied), "-o", str(tmp_path / "out")]) == 0
    assert "model.safetensors and model.onnx are not written: the run has no" in capsys.readouterr().err
    assert "{'text': 'str'}" in (tmp_path / "out" / "labeler.py").read_text(encoding="utf-8")


def test_hostile_texts_are_not_markup(copied: Path, tmp_path: Path) -> None:
    path = copied / "record.json"
    record = read_json(path, what="the record")
    record["data"] |= {"license": EVIL, "name": f"{EVIL}\n# title", "classes": ["ham", EVIL]}
    record["notes"] = [EVIL, 5]
    record["programs"]["list"] = [{"file": 3}, "x"]
    record["label_model"]["coverage"] = {"train": EVIL}
    write_json(path, record)
    stored = read_json(copied / "label_model" / "programs.json", what="the programs")
    write_json(copied / "label_model" / "programs.json", stored | {"classes": ["ham", EVIL]})
    labels = pd.read_parquet(copied / "labels.parquet").rename(columns={"p(spam)": f"p({EVIL})"})
    for name in ("gold", "weak_label", "predicted"):
        labels[name] = labels[name].replace("spam", EVIL)
    for name in labels.columns[labels.columns.str.startswith("vote ")]:
        labels[name] = labels[name].cat.rename_categories({"spam": EVIL})
    labels.to_parquet(copied / "labels.parquet", index=False)
    assert export.main([str(copied), "-o", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    body = text.split("---\n", 2)[2]
    assert "\\<script\\>alert(1)\\</script\\>\\|=1+1 \\[x\\](http\\://evil.example) \\_spam\\_" in body
    assert "<script>" not in body
    assert "| train | 100 |" in body
    assert "\n# title" not in text
    assert yaml.safe_load(text.split("---\n")[1])["license_name"] == EVIL
    assert "<" not in (tmp_path / "out" / "croissant.json").read_text(encoding="utf-8")
    assert not mlcroissant.Dataset(jsonld=tmp_path / "out" / "croissant.json").metadata.issues.errors


def test_what_cannot_be_exported_is_one_sentence(
    exported: Path, copied: Path, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    (tmp_path / "mine").mkdir()
    (copied / "labels.parquet").write_bytes(b"PAR1")
    for arguments, message in (
        ([str(copied), "-o", str(exported)], "exists; name another directory by -o DIR, or replace it by --overwrite"),
        (
            [str(copied), "-o", str(tmp_path / "mine"), "--overwrite"],
            "is not an export, so --overwrite does not replace it",
        ),
        ([str(copied)], "the following arguments are required: -o/--out"),
        (["absent", "-o", "x", "--outputs", str(tmp_path)], "there is no run under"),
        ([str(copied), "-o", str(tmp_path / "out")], "labels.parquet is broken"),
        ([str(copied), "-o", str(exported), "--overwrite"], "labels.parquet is broken"),
    ):
        before = sorted(exported.rglob("*"))
        assert run_command(lambda arguments=arguments: export.main(arguments), monkeypatch) == 1
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        assert sorted(exported.rglob("*")) == before
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("shares", [(np.nan, 1.0), (1.5, -0.5), (0.2, 0.2)])
def test_values_that_are_no_probabilities_are_refused(
    copied: Path, tmp_path: Path, monkeypatch: Patch, capsys: Capture, shares: tuple[float, float]
) -> None:
    labels = pd.read_parquet(copied / "labels.parquet")
    row = int(labels["weak_label"].first_valid_index())
    for name, share in zip(("p(ham)", "p(spam)"), shares, strict=True):
        labels.loc[row, name] = share
    labels.to_parquet(copied / "labels.parquet")
    arguments = [str(copied), "-o", str(tmp_path / "out")]
    assert run_command(lambda: export.main(arguments), monkeypatch) == 1
    said = capsys.readouterr().err
    assert f"p(CLASS) of row {labels['row'][row]} is [" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("*out*"))


def test_what_is_left_out_is_a_note(copied: Path, tmp_path: Path, monkeypatch: Patch, capsys: Capture) -> None:
    found = importlib.util.find_spec
    absent = ("onnx", "safetensors")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else found(name, *rest))
    write_json(copied / "label_model" / "programs.json", {"programs": []})
    target = tmp_path / "out"
    assert export.main([str(copied), "-o", str(target)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "note: labeler.py is not written: no program voted in this run."
    assert [line.partition(" needs the package ")[0] for line in said[1:]] == [
        "note: model.safetensors is not written: model.safetensors",
        "note: model.onnx is not written: model.onnx",
    ]
    assert not any((target / name).exists() for name in ("labeler.py", "model.onnx", "model.safetensors"))
    assert "labeler.py" not in (target / "README.md").read_text(encoding="utf-8")
    # Drafts of killed exports are removed; those of a running process are not.
    with subprocess.Popen(["true"]) as ended:
        pass
    drafts = [
        tmp_path / f".{name}"
        for name in (
            f"out.{ended.pid}-0a1b2c3d",
            f"out.new-{ended.pid}-0a1b2c3d",
            f"out.{os.getpid()}-0a1b2c3d",
            f"out.{ended.pid}",  # not a draft
        )
    ]
    for draft in drafts:
        draft.mkdir()
    assert export.main([str(copied), "-o", str(target), "--overwrite"]) == 0
    assert sorted(path for path in tmp_path.iterdir() if path.name.startswith(".")) == sorted(drafts[2:])
    # The kernel answers a flag that it does not know as a file system that cannot exchange directories.
    monkeypatch.setattr(bundle, "_RENAME_EXCHANGE", 1 << 8)
    before = (target / "run" / "record.json").stat().st_ino
    assert export.main([str(copied), "-o", str(target), "--overwrite"]) == 0
    assert (target / "run" / "record.json").stat().st_ino != before
    assert sorted(path for path in tmp_path.iterdir() if path.name.startswith(".")) == sorted(drafts[2:])
    (target / "notes.txt").touch()
    (target / "data" / "mine.parquet").touch()
    with pytest.raises(ConfigError, match=r"would delete: data/mine\.parquet, notes\.txt; move them away"):
        check_target(target, force=True)
    with pytest.raises(ConfigError, match="needs the package safetensors"):
        write_safetensors(tmp_path / "x", [], [], [])
