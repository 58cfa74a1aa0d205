"""The sweep of examples/wandb_sweep.yaml, run as an agent of W&B runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.forking import run_forked
from tests.support.paths import REPOSITORY
from tests.support.wandb_files import read_offline_run

pytestmark = pytest.mark.usefixtures("shared_stages")

# The agent of W&B is imported in a process of its own: next to the libraries of all tests, that takes 2.3 s instead of
# 1 s, because pydantic searches all modules for the source of each of its classes.
AGENT = """
import json, sys
from wandb.sdk.launch.sweeps import utils
command, values = json.load(sys.stdin)
print(json.dumps([utils.create_sweep_command(command), utils.create_sweep_command_args({"args": values})]))
"""

yaml = pytest.importorskip("yaml", reason="the extra docs is not installed")


def test_the_command_of_the_agent_gets_the_values_and_logs_the_metric(tmp_path: Path) -> None:
    sweep: dict[str, Any] = yaml.safe_load((REPOSITORY / "examples" / "wandb_sweep.yaml").read_text())
    values = {"end_model.learning_rate": 0.0123, "feature_extractor.parts.words.n_components": 64}
    assert values.keys() == sweep["parameters"].keys()
    asked = json.dumps([sweep["command"], {key: {"value": value} for key, value in values.items()}])
    agent = subprocess.run([sys.executable, "-c", AGENT], input=asked, capture_output=True, text=True, check=True)
    words, arguments = json.loads(agent.stdout)
    substituted = {"env": ["/usr/bin/env"], "program": [sweep["program"]], **arguments}
    command: list[str] = []
    for word in words:
        command += substituted[word[2:-1]] if word.startswith("${") else [word]
    assert command[:3] == ["/usr/bin/env", "alchemist", "run"]
    small = ("+experiment=tiny", "end_model.max_epochs=1")
    environment = {"WANDB_SWEEP_ID": "a-sweep", "WANDB_RUN_ID": "chosen-by-agent"}
    ran = run_forked("tests.support.console_script", *command[2:], *small, cwd=tmp_path, environment=environment)
    assert ran.returncode == 0, ran.stderr
    assert "upload to W&B      wandb sync " in ran.stdout
    (directory,) = (tmp_path / "outputs" / "runs").glob("[!.]*")
    record = json.loads((directory / "record.json").read_text())
    assert {f"{key}={value}" for key, value in values.items()} <= {*record["overrides"]}
    logged = read_offline_run(directory)
    assert (logged.run.run_id, logged.run.sweep_id) == ("chosen-by-agent", "a-sweep")
    assert (
        json.loads(logged.summary[sweep["metric"]["name"]])
        == record["end_model"]["metrics"]["valid"]["accuracy"]["mean"]
    )
