"""A run's directory may be from another person: nothing in it runs code, prints a key, or ends in a traceback."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alchemist_exp.cli import apply
from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.labeling import run_files
from alchemist_exp.labeling.components import Consent, make_component, make_sandbox
from alchemist_exp.labeling.model_labeler import model_labeler
from alchemist_exp.labeling.program_labeler import program_labeler
from alchemist_exp.labeling.row_labeler import RowLabels
from alchemist_exp.labeling.run_files import check_run_files, stored_run
from alchemist_exp.results.record import RunRecord

SECRET = "sk-secret-of-the-user"
NO_CONSENT = Consent()


class Touch:
    """A pickle that creates a file when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (os.mkdir, ("owned",))


def label(directory: Path, using: str, consent: Consent = NO_CONSENT) -> RowLabels:
    """Label one row, as `alchemist apply` does after it has found a finished run."""
    check_run_files(directory)
    record = RunRecord.read(directory)
    assert record is not None
    run = stored_run(directory, record)
    labeler = model_labeler(run, consent) if using == "model" else program_labeler(run, consent, "seccomp")
    return labeler.label(["subscribe to my channel", ""])


def outcome(directory: Path, using: str) -> str:
    """Return the message with which a run is refused, or "" if it labels the row."""
    try:
        label(directory, using)
    except AlchemistError as error:
        return str(error)
    return ""


def refusal(directory: Path, using: str) -> str:
    """Return the one sentence with which a run is refused."""
    message = outcome(directory, using)
    assert message
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 1500
    assert SECRET not in message
    assert not Path("owned").exists()
    return message


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def change(directory: Path, file: str, *keys: object, to: object) -> None:
    """Set a value in a JSON file of a run; the last key may be new."""
    path = directory / file
    stored = json.loads(path.read_text(encoding="utf-8"))
    inner = stored
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    path.write_text(json.dumps(stored), encoding="utf-8")


def npy(array: np.ndarray) -> bytes:
    raw = io.BytesIO()
    np.save(raw, array, allow_pickle=True)
    return raw.getvalue()


def huge(dtype: str, *shape: int) -> bytes:
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": dtype, "fortran_order": False, "shape": shape})
    return raw.getvalue()


def test_a_whole_run_is_labeled(copied: Path) -> None:
    assert label(copied, "model").classes.tolist()[1] == -1
    assert label(copied, "programs").classes.tolist() == [1, -1]


def test_a_run_without_a_distilled_model_says_what_to_use(copied: Path) -> None:
    shutil.rmtree(copied / "model")
    assert "has no distilled model, as with end_model=none; label with its programs: --with" in refusal(copied, "model")


def test_a_class_that_looks_like_a_formula_does_not_act_as_one_in_a_csv_file(copied: Path) -> None:
    for file, keys in (("record.json", ("data", "classes", 1)), ("record.json", ("config", "dataset", "classes", 1))):
        change(copied, file, *keys, to="=cmd|' /C calc'!A0")
    Path("in.csv").write_text("text\ncheck out my channel\n", encoding="utf-8")
    assert apply.main([str(copied), "in.csv", "-o", "out.csv"]) == 0
    assert Path("out.csv").read_text(encoding="utf-8").splitlines()[1].startswith("check out my channel,'=cmd|")


FILES = {
    "label_model/log_prior_.npy": "programs",
    "label_model/programs.json": "programs",
    "programs/general_00.py": "programs",
    "components.json": "model",
    "model/idf.npy": "model",
    "model/tfidf.json": "model",
    "model/rows.json": "model",
    "model/end_model.json": "model",
    "model/end_model.pt": "model",
}
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "pickle": pickle.dumps(Touch()),
    "objects": npy(np.array([Touch()], dtype=object)),
    "huge": huge("<f8", 10**13),
    "huge float32": huge("<f4", 2**62, 2**62),
    "strings": npy(np.array(["a" * 1000])),
    "nan": npy(np.full(2, np.nan)),
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "deep": b"[" * 100_000,
    "number": b"1" * 5000,
    "NUL": b"\0" * 100,
    "10 MB": b'"' + b"a" * 10_000_000 + b'"',
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("content", CONTENTS)
def test_any_content_of_any_file_is_refused_in_one_sentence(copied: Path, file: str, content: str) -> None:
    path = copied / file
    path.unlink()  # a hard link to the cache
    path.write_bytes(CONTENTS[content])
    refusal(copied, FILES[file])


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["file", "device", "directory", "pipe", "loop"])
def test_links_and_special_files_are_not_read(copied: Path, file: str, kind: str, tmp_path: Path) -> None:
    path = copied / file
    if kind == "directory":
        shutil.copytree(path.parent, tmp_path / "other")
        if path.parent != copied:
            shutil.rmtree(path.parent)
            path.parent.symlink_to(tmp_path / "other")
        else:
            path.unlink()
            path.symlink_to(tmp_path / "other")
    else:
        path.rename(tmp_path / "original")
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to({"file": tmp_path / "original", "device": "/dev/zero", "loop": path}[kind])
    assert "is a symbolic link" in (said := refusal(copied, FILES[file])) or "is not a regular file" in said


VALUES: list[object] = [
    None,
    True,
    -1,
    1e308,
    "a",
    "x" * 10_000_000,
    [],
    {},
    [[]],
    {"a": {}},
    "\x1b[31m\n",
    "../../etc",
]


@pytest.mark.parametrize(
    ("using", "file", "keys"),
    [
        ("model", "record.json", ("data", "classes")),
        ("model", "record.json", ("data",)),
        ("model", "components.json", ("version",)),
        ("model", "components.json", ("components",)),
        ("model", "components.json", ("components", "end_model")),
        ("model", "components.json", ("components", "end_model", "class")),
        ("model", "components.json", ("components", "end_model", "values")),
        ("model", "components.json", ("components", "end_model", "values", "hidden")),
        ("model", "components.json", ("components", "feature_extractor", "values", "n_components")),
        ("model", "components.json", ("components", "feature_extractor", "values", "max_features")),
        ("model", "model/rows.json", ("kind",)),
        ("model", "model/rows.json", ("columns",)),
        ("model", "model/tfidf.json", ("terms",)),
        ("model", "model/end_model.json", ("sizes",)),
        ("model", "model/end_model.json", ("curves",)),
        ("programs", "components.json", ("components", "label_model", "values", "smoothing")),
        ("programs", "components.json", ("components", "sandbox", "values")),
        ("programs", "components.json", ("components", "sandbox", "values", "memory_mb")),
        ("programs", "components.json", ("components", "sandbox", "values", "allowed_modules")),
        ("programs", "label_model/programs.json", ("classes",)),
        ("programs", "label_model/programs.json", ("programs",)),
        ("programs", "label_model/programs.json", ("programs", 0)),
        ("programs", "label_model/programs.json", ("programs", 0, "file")),
        ("programs", "label_model/programs.json", ("programs", 0, "key")),
        ("programs", "label_model/programs.json", ("n_columns",)),
    ],
)
def test_any_type_of_any_value_is_usable_or_refused(copied: Path, using: str, file: str, keys: tuple) -> None:
    for value in VALUES:
        change(copied, file, *keys, to=value)
        message = outcome(copied, using)
        assert "\n" not in message
        assert "\x1b" not in message
        assert len(message) < 1500


def places(stored: object, keys: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yield the keys of each value in a JSON document, of the inner ones too."""
    inner = stored.items() if isinstance(stored, dict) else enumerate(stored[:2]) if isinstance(stored, list) else ()
    for key, value in inner:
        yield (*keys, key)
        yield from places(value, (*keys, key))


@pytest.mark.parametrize("group", ["end_model", "feature_extractor", "label_model", "sandbox"])
def test_any_value_of_any_component_is_usable_or_refused(copied: Path, group: str) -> None:
    path = copied / "components.json"
    whole = path.read_text(encoding="utf-8")
    record = RunRecord.read(copied)
    assert record is not None
    stored = json.loads(whole)["components"][group]
    for keys in [(), *places(stored)]:
        for value in (None, True, -1, 1e308, 10**400, float("nan"), "\x1b[31m\n", ["a"], {"a": {}}, "${oc.env:HOME}"):
            path.write_text(whole, encoding="utf-8")
            change(copied, "components.json", "components", group, *keys, to=value)
            run = stored_run(copied, record)
            try:
                made = (
                    make_sandbox(run, "auto", NO_CONSENT)
                    if group == "sandbox"
                    else make_component(run, group, NO_CONSENT)
                )
            except AlchemistError as error:
                message = str(error)
                assert message.isprintable(), (keys, value)
                assert len(message) < 1500
                assert str(Path.home()) not in message.replace(str(copied), "")
            else:
                assert isinstance(made, Component)


@pytest.mark.parametrize(
    ("group", "key", "value", "message"),
    [
        ("feature_extractor", "_target_", "os.system", "the key 'feature_extractor._target_' is unknown"),
        ("feature_extractor", "max_ngram", "${oc.env:OPENAI_API_KEY}", "refer to other values"),
        ("end_model", "device", "${oc.env:OPENAI_API_KEY}", "refer to other values"),
        ("end_model", "device", "tpu", "the values of its end_model"),
        ("end_model", "holdout", "???", "missing"),
        ("end_model", "hidden", [10**9], "end_model.hidden has a layer of 1000000000"),
        ("end_model", "hidden", {"_target_": "os.system"}, "the values of its end_model"),
    ],
)
def test_values_of_components_are_checked(copied: Path, group: str, key: str, value: object, message: str) -> None:
    change(copied, "components.json", "components", group, "values", key, to=value)
    assert message in refusal(copied, "model")


@pytest.mark.parametrize(
    ("file", "keys", "value", "message"),
    [
        ("label_model/programs.json", ("programs", 0, "file"), "../programs/general_00.py", "is not the name"),
        ("label_model/programs.json", ("programs", 0, "file"), "/etc/passwd", "is not the name"),
        ("label_model/programs.json", ("programs", 0, "file"), "general_01.py", "was changed since the run"),
        ("label_model/programs.json", ("classes",), ["ham", "spam", "eggs"], "other classes than the record"),
        ("label_model/programs.json", ("programs",), [], "no program voted"),
        ("components.json", ("components", "sandbox", "values", "memory_mb"), 10**9, "expected a number up to 32768"),
        ("components.json", ("components", "sandbox", "values", "extra_modules"), ["numpy"], "may import 'numpy'"),
        ("components.json", ("components", "sandbox", "values", "allowed_modules"), ["antigravity"], "antigravity"),
    ],
)
def test_programs_and_limits_are_checked(copied: Path, file: str, keys: tuple, value: object, message: str) -> None:
    change(copied, file, *keys, to=value)
    assert message in refusal(copied, "programs")


def test_the_mode_of_the_run_does_not_count(copied: Path) -> None:
    change(copied, "components.json", "components", "sandbox", "class", to="none")
    change(copied, "components.json", "components", "sandbox", "values", "name", to="none")
    change(copied, "components.json", "components", "sandbox", "values", "workers", to=10**6)
    record = RunRecord.read(copied)
    assert record is not None
    sandbox = make_sandbox(stored_run(copied, record), "auto", Consent())
    assert sandbox.effective_mode in ("bwrap", "seccomp")
    assert sandbox.workers is None
    source = "import os\nos.mkdir('owned')\ndef label_function(text):\n    return 1\n"
    (run,) = sandbox.execute([source], ["a"], 2)
    assert run.status != "ok"
    assert not Path("owned").exists()
    change(copied, "components.json", "components", "sandbox", "values", "extra_modules", to=["numpy"])
    assert make_sandbox(stored_run(copied, record), "auto", Consent(modules=["numpy"])).extra_modules == ["numpy"]


def test_weights_at_a_path_need_consent(copied: Path, tmp_path: Path) -> None:
    values = {"name": "transformer", "model": str(tmp_path), "revision": "main", "pooling": "mean"}
    values |= {"normalize": False, "max_length": 8, "batch_size": 2}
    stored = {"class": "transformer", "source_fingerprint": None, "values": values}
    change(copied, "components.json", "components", "feature_extractor", to=stored)
    (copied / "model" / "encoder.json").write_text(json.dumps({"directory": "/dev", "weights": {}}))
    assert "reads /dev, which is outside of the run" in refusal(copied, "model")
    (copied / "model" / "encoder.json").write_text(json.dumps({"directory": {"a": 1}, "weights": [1]}))
    assert f"reads {tmp_path}, which is outside of the run" in refusal(copied, "model")
    with pytest.raises(AlchemistError, match="broken or was saved with other values"):
        label(copied, "model", Consent(weights=[tmp_path]))
    values["model"] = "owner/name"
    change(copied, "components.json", "components", "feature_extractor", to=stored | {"values": values})
    refusal(copied, "model")  # and nothing is downloaded: HF_HUB_OFFLINE is set


def test_a_stored_class_is_one_of_this_package(copied: Path) -> None:
    for name in ("os.system", "Tfidf", "_tfidf", "tfidf\x1b[31m", ""):
        change(copied, "components.json", "components", "feature_extractor", "class", to=name)
        assert "is not part of this package" in (said := refusal(copied, "model")) or "has no name" in said
    change(copied, "components.json", "components", "feature_extractor", "class", to="minilm")
    assert "the key 'feature_extractor.n_components' is unknown" in refusal(copied, "model")


def test_a_model_trained_on_a_gpu_is_loaded_without_one(copied: Path) -> None:
    change(copied, "components.json", "components", "end_model", "values", "device", to="cuda")
    record = RunRecord.read(copied)
    assert record is not None
    model: Any = make_component(stored_run(copied, record), "end_model", Consent())
    assert model.device == "auto"


def test_values_of_the_label_model_that_overflow_are_refused(copied: Path) -> None:
    for file in (copied / "label_model").glob("*.npy"):
        np.save(file, np.full_like(np.load(file), 1.7e308))
    assert "label_model is broken" in refusal(copied, "programs")


def test_too_many_files_are_not_listed(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alchemist_exp.labeling.run_files.MAX_FILES", 5)
    assert "has more than 5 files" in refusal(copied, "model")
    monkeypatch.undo()
    monkeypatch.setitem(run_files.MAX_BYTES, ".json", 10)
    assert "expected at most 10" in refusal(copied, "model")
