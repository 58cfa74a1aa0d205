"""The MLP component: no output, Slurm, Ctrl-C, saved files, configuration."""

from __future__ import annotations

import dataclasses
import logging
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.end_model import network
from alchemist_exp.end_model.base import FittedEndModel
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.end_model.settings import Device
from alchemist_exp.end_model.training import lightning  # imported without what the package does not need

if TYPE_CHECKING:
    from tests.end_model.conftest import Toy

Make = Callable[..., Mlp]


def fit(mlp: Mlp, toy: Toy, *seeds: int) -> FittedEndModel:
    return mlp.fit(toy.features, toy.labels, seeds=seeds, validation=toy.validation)


# Side effects


def test_no_output_no_files_and_no_changed_settings(
    make: Make, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Features are read-only memory maps, as the artifact cache returns them."""
    np.save(tmp_path / "features.npy", toy.features)
    features = np.load(tmp_path / "features.npy", mmap_mode="r")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    threads = torch.get_num_threads() + 1
    torch.set_num_threads(threads)
    level = logging.getLogger(lightning.__name__).level
    validation = dataclasses.replace(toy.validation, features=features[:60], gold=toy.gold[:60])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make(max_epochs=2).fit(features, toy.labels, seeds=[0], validation=validation)
        model.predict_proba(features)
        make(max_epochs=2).fit(features, toy.labels, seeds=[0], validation=None)
    assert capfd.readouterr() == ("", "")
    assert not list(empty.iterdir())
    assert (torch.get_num_threads(), logging.getLogger(lightning.__name__).level) == (threads, level)
    torch.set_num_threads(threads - 1)
    assert np.array_equal(features, toy.features)


def test_works_inside_a_slurm_job_of_several_tasks(make: Make, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    job = {"JOB_ID": "7", "NTASKS": "4", "PROCID": "2", "LOCALID": "2", "NODELIST": "n1", "JOB_NAME": "alchemist"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert len(fit(make(max_epochs=2), toy, 0).curves) == 1


def test_ctrl_c_is_raised_as_keyboard_interrupt(make: Make, toy: Toy) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def interrupted(epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make().fit(toy.features, toy.labels, seeds=[0], validation=None, on_epoch=interrupted)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_long_split_is_predicted_in_chunks(make: Make, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fit(make(max_epochs=3), toy, 0, 1)
    whole = model.predict_proba(toy.features)
    monkeypatch.setattr(network, "_CHUNK", 7)
    assert np.allclose(model.predict_proba(toy.features), whole, atol=1e-6)


def test_importing_the_component_does_not_import_torch() -> None:
    code = "import sys, alchemist_exp.end_model.mlp; assert not {'torch', 'pytorch_lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(config.__file__).parents[1])


# Saving


def test_a_loaded_model_predicts_the_same(make: Make, toy: Toy, tmp_path: Path) -> None:
    model = fit(make(hidden=[7, 5]), toy, 4, 2)
    model.save(tmp_path)
    again = make().load(tmp_path)
    assert np.array_equal(again.predict_proba(toy.features), model.predict_proba(toy.features))
    assert again.curves == model.curves
    assert again.seeds == (4, 2)
    state = torch.load(tmp_path / "end_model.pt", weights_only=True)
    assert {type(tensor) for tensor in state.values()} == {torch.Tensor}


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code in a model file ran",)


@pytest.mark.parametrize("file", ["end_model.json", "end_model.pt"])
@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"[]",
        b'{"version": 0}',
        b'{"version": 1, "sizes": [2, 2], "curves": [{}]}',
        pickle.dumps(_Attack(), protocol=2),
    ],
    ids=["absent", "empty", "list", "version", "no curve", "attack"],
)
def test_a_missing_or_broken_file_is_named_and_runs_no_code(
    make: Make, toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str], file: str, content: bytes | None
) -> None:
    fit(make(max_epochs=1), toy, 0).save(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(StoreError, match=str(tmp_path)):
        make().load(tmp_path)
    assert "ran" not in capfd.readouterr().out


# Configuration


def test_the_yaml_file_has_the_network_of_the_paper(make: Make) -> None:
    assert make().name == "mlp"
    assert make().hidden == [32, 32]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden", [32, 0]),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -0.1),
        ("batch_size", 0),
        ("max_epochs", 0),
        ("patience", 0),
        ("holdout", 0.0),
        ("holdout", 1.0),
    ],
)
def test_a_value_out_of_range_names_its_key(make: Make, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"end_model\.{key} .* expected"):
        make(**{key: value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available")
def test_missing_cuda_is_refused_before_anything_is_spent(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"end_model.device=auto or cpu"):
        make(device=Device.cuda)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_and_cpu_learn_the_same(make: Make, toy: Toy) -> None:
    on_cpu, on_cuda = (fit(make(device=device), toy, 0, 1) for device in (Device.cpu, Device.cuda))
    assert np.allclose(on_cpu.predict_proba(toy.features), on_cuda.predict_proba(toy.features), atol=1e-2)
