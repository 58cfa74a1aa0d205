"""What needs no Slurm of the commands that submit jobs: plans, LLM calls, records of submissions, Slurm's output."""

import importlib.util
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.cli import run, submit
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.cluster_settings import SlurmSettings, check_resources, settings_of
from alchemist_exp.sweeps.slurm import QueuedJob, SlurmError
from alchemist_exp.sweeps.submissions import SubmittedJob, active_states, new_submission, read_submissions
from tests.support.commands import run_command
from tests.support.llm_server import ReceivedRequest, ScriptedResponse, Server

pytestmark = pytest.mark.usefixtures("shared_stages")

TINY = ("dataset.limit=100", "method.n_programs=1", "logger=none", "label_model=majority", "end_model=none")


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


def test_the_llm_calls_are_made_in_a_first_job_that_the_others_wait_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(submit, "check_resources", lambda settings: None)
    submitted: list[list[str]] = []
    monkeypatch.setattr(run, "main", lambda: submitted.append(submit.sys.argv[1:]))
    first: list[list[str]] = []

    def run_it(command: list[str]) -> str:
        if command[0] == "sbatch":
            first.append(command)
            return "77;cluster\n"
        raise SlurmError("there is no other command")

    monkeypatch.setattr(slurm, "run", run_it)
    with Server(program) as server:
        llm = ("llm=openai_compatible", "llm.model=m", f"llm.base_url={server.url}/v1", "method.n_programs=3")
        arguments = ("-m", *TINY, *llm, "seed=s0,s1", "hydra.launcher.options={constraint: fast}")
        assert run_command(submit.main, monkeypatch, *arguments, "--yes", "--ask-first") == 0
        assert server.requests == []
        assert "the LLM calls are made by Slurm job 77" in capsys.readouterr().out
        ((*options, flag, script),) = first
        assert flag == "--wrap"
        assert f"--output={tmp_path}/outputs/sweeps/alchemist-ask-%j.log" in options
        words = shlex.split(script)
        assert words[:4] == [sys.executable, "-m", "alchemist_exp", "submit"]
        assert run_command(submit.main, monkeypatch, *words[4:]) == 0
        assert len(server.requests) == 3
        # Nothing is left to ask: there is no first job.
        assert run_command(submit.main, monkeypatch, *arguments, "--yes", "--ask-first") == 0
        assert len(first) == 1
    with_first, without = submitted
    (waiting,) = [text for text in with_first if "dependency" in text]
    composed = config.compose(["hydra/launcher=slurm", waiting], with_hydra=True).hydra.launcher
    assert composed.options == {"constraint": "fast", "dependency": "afterok:77", "kill-on-invalid-dep": "yes"}
    assert not any("dependency" in text for text in without)


def test_an_unknown_option_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(submit, "check_resources", lambda settings: pytest.fail("Slurm was asked"))
    assert run_command(submit.main, monkeypatch, "--ask-frist", "dataset=sms", "--yes") == 1
    assert "the option '--ask-frist' is unknown" in capsys.readouterr().err


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


def test_what_a_job_needs_is_checked_before_any_job_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The packages of all extras are checked in the process of the sweep, for any launcher."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(submit, "check_resources", lambda settings: None)
    found = importlib.util.find_spec
    missing = ("sentence_transformers", "openpyxl")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in missing else found(name))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "a.xlsx").write_bytes(b"")
    files = "dataset=files dataset.path=a.xlsx dataset.prompt=label dataset.classes=[a,b]"
    (tmp_path / "jobs.txt").write_text(f"feature_extractor=minilm\n{files}\n")
    for main, arguments in ((run.main, ["sweep.file=jobs.txt"]), (submit.main, ["--yes", "sweep.file=jobs.txt"])):
        assert run_command(main, monkeypatch, *TINY, "seed=s0", *arguments) == 1
        error = capsys.readouterr().err
        assert "error: no job was started: " in error
        assert "feature_extractor=minilm needs the package sentence-transformers; install it with: " in error
        assert "a.xlsx needs the package openpyxl; install it with: " in error
    assert not (tmp_path / "outputs" / "runs").exists()


def test_a_signal_that_would_end_a_job_at_its_start_is_refused() -> None:
    with pytest.raises(ConfigError, match="signal_delay_s is 90 s, and Slurm may send the signal 60 s earlier"):
        check_resources(SlurmSettings(time_min=2))
    for values in ({"time_min": "soon"}, {"cpus": True}, {"options": "hold"}):
        with pytest.raises(ConfigError, match=f"hydra.launcher.{next(iter(values))} is .*; expected"):
            settings_of(SlurmSettings, values)
