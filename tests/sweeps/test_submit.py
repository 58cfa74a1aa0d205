"""What needs no Slurm of the commands that submit jobs: plans, LLM calls, records of submissions, Slurm's output."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.cli import run, submit
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.cluster_settings import SlurmSettings, settings_of
from alchemist_exp.sweeps.slurm import QueuedJob, SlurmError
from alchemist_exp.sweeps.submissions import SubmittedJob, active_states, new_submission, read_submissions
from tests.support.commands import run_command
from tests.support.llm_server import ReceivedRequest, ScriptedResponse, Server

TINY = ("+experiment=tiny", "label_model=majority", "end_model.max_epochs=1")


def program(request: ReceivedRequest) -> ScriptedResponse:
    return ScriptedResponse(text="```python\ndef label_function(comment):\n    return int('http' in comment)\n```")


def test_the_llm_calls_of_a_sweep_are_made_once_before_it_is_submitted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-test")
    monkeypatch.setattr(submit, "check_resources", lambda settings: None)
    submitted: list[list[str]] = []
    monkeypatch.setattr(run, "main", lambda: submitted.append(submit.sys.argv[1:]))
    with Server(program) as server:
        llm = ("llm=openai_compatible", "llm.model=m", f"llm.base_url={server.url}/v1", "method.n_programs=3")
        arguments = ("-m", *TINY, *llm, "seed=s0,s1", "hydra.launcher.time_min=30")
        assert run_command(submit.main, monkeypatch, *arguments) == 1
        refused = capsys.readouterr()
        assert server.requests == []
        assert submitted == []
        assert "no terminal to ask at; add --yes" in refused.err
        assert "at most 2.0 core hours (2 x 2 cores x 30 min)" in refused.out
        assert run_command(submit.main, monkeypatch, *arguments, "--yes", "--ask-here") == 0
        assert len(server.requests) == 3
    (command,) = submitted
    assert command[-2:] == ["hydra.launcher.wait=false", "~hydra.callbacks.screen"]
    assert "hydra/launcher=slurm" in command


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Replace the commands of Slurm by texts; a missing one fails."""
    texts: dict[str, str] = {}

    def run_it(command: list[str]) -> str:
        if command[0] not in texts:
            raise SlurmError(f"{command[0]}: planted.")
        return texts[command[0]]

    monkeypatch.setattr(slurm, "run", run_it)
    return texts


def test_tasks_of_an_array_are_read_from_sacct_and_squeue(answers: dict[str, str]) -> None:
    answers["sacct"] = "a|7_0|COMPLETED\na|7_1.batch|FAILED\na|7_[1-2,4%2]|CANCELLED by 1000\nb|9|TIMEOUT\n"
    answers["squeue"] = "a|7_3|PENDING|Resources\na|7_0|COMPLETED|None\n"
    found = slurm.find_jobs(["a", "b", "c"], since="now-1days")
    assert {job.index: job.state for job in found["a"]} == {
        0: "COMPLETED",
        1: "CANCELLED",
        2: "CANCELLED",
        3: "PENDING",
        4: "CANCELLED",
    }
    assert [job.reason for job in found["a"] if job.active] == ["Resources"]
    assert found["b"] == [QueuedJob(job_id="9", state="TIMEOUT")]
    assert found["c"] == []


def test_an_uncertain_submission_is_found_by_its_name_and_an_answer_is_needed(
    answers: dict[str, str], tmp_path: Path
) -> None:
    tasks = [SubmittedJob(run_key=f"{number}" * 24, overrides=(f"seed=s{number}",)) for number in range(2)]
    submission = new_submission("sweep", tasks, tmp_path)
    assert submission.name.startswith("alchemist-000000000000-")
    with pytest.raises(SlurmError, match="planted"):
        active_states(tmp_path)
    answers["sacct"] = ""
    answers["squeue"] = f"{submission.name}|12_1|PENDING|Priority\n"
    (state,) = active_states(tmp_path)
    assert (state.task, state.submission.job_id) == (tasks[1], "12")
    assert read_submissions(tmp_path) == [submission]
    answers["squeue"] = f"{submission.name}|12_1|COMPLETED|None\n"
    assert active_states(tmp_path) == []
    assert read_submissions(tmp_path)[0].ended


def test_a_member_of_the_users_directory_extends_the_launcher(tmp_path: Path, composed: Callable[..., object]) -> None:
    own = tmp_path / "hydra" / "launcher"
    own.mkdir(parents=True)
    (own / "ours.yaml").write_text("defaults: [slurm]\npartition: gpu\ngpus: 1\nsetup: ['module load python']\n")
    found = config.compose(["hydra/launcher=ours"], tmp_path, with_hydra=True).hydra.launcher
    settings = settings_of(SlurmSettings, {str(key): found[key] for key in found if key != "_target_"})
    assert (settings.partition, settings.gpus, settings.cpus) == ("gpu", 1, 2)
    assert list(settings.setup) == ["module load python"]
    with pytest.raises(ConfigError, match=r"hydra.launcher has no key n_jobs"):
        settings_of(SlurmSettings, {"n_jobs": 2})
