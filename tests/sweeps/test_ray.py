"""Sweeps on Ray; those that start it are skipped where the extra ray is not installed."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.sweeps.ray_launcher import RaySettings, launch_on_ray
from tests.support.forking import run_alchemist

pytestmark = pytest.mark.usefixtures("shared_stages")

TINY = ("+experiment=tiny", "label_model=majority", "end_model.max_epochs=1")
ON_RAY = ("hydra/launcher=ray", "hydra.launcher.num_cpus=2")


def write_programs(directory: Path) -> None:
    directory.mkdir()
    for number in range(3):
        source = f"def label_function(text):\n    return {number % 2} if 'http' in text else 0  # {directory.name}\n"
        (directory / f"{number}.py").write_text(source)


def test_a_failed_job_is_run_again_alone(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    names = ("a", "b", "c", "d")
    for name in names[:3]:
        write_programs(tmp_path / name)
    sweep = ("run", "-m", *TINY, "method=program_files", f"method.path={','.join(names)}", *ON_RAY)
    first = run_alchemist(*sweep, cwd=tmp_path)
    assert first.returncode == 1
    assert "3 of 4 jobs are done  1 failed" in first.stdout.splitlines(), first.stderr
    assert "failed    method.path=d: method.path is 'd', which is not a directory" in first.stdout
    write_programs(tmp_path / "d")
    again = run_alchemist(*sweep, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("  finished before; run ") == 3
    assert "4 of 4 jobs are done" in again.stdout.splitlines()


def test_the_launcher_names_its_extra(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("the extra ray is installed")
    done = run_alchemist("run", "-m", *TINY, "seed=s0,s1", "logger=none", *ON_RAY, cwd=tmp_path)
    assert done.returncode == 1
    assert "hydra/launcher=ray needs the extra ray: pip install" in done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_cpus": 0}, "hydra.launcher.num_cpus is 0; expected a whole number from 1 on"),
        ({"num_cpus": 1, "cpus_per_job": 2}, "hydra.launcher.cpus_per_job is 2, and Ray gets 1 cores"),
        ({"num_cpus": 1, "address": "auto"}, "hydra.launcher.address names a running one; leave out one of them"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RaySettings(**settings)
    assert message in str(caught.value)


def test_the_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(os, "environ", {**os.environ})
    nothing: Any = None
    with pytest.raises(ConfigError, match="hydra/launcher=ray needs the extra ray: pip install"):
        launch_on_ray(nothing, nothing, nothing, RaySettings(), [], 0)
