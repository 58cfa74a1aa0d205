"""The program as a user meets it: bad input is one sentence and exit code 1, Ctrl-C is 130."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.cli import run
from alchemist_exp.cli.hydra_command import hydra_arguments
from alchemist_exp.cli.main import COMMANDS
from alchemist_exp.core.atomic_io import read_json
from tests.support.commands import run_command
from tests.support.forking import ForkedProcess, run_alchemist
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("shared_stages")

TINY = ("+experiment=tiny", "method.n_programs=1", "label_model=majority", "sandbox.determinism_rows=0")

MISTAKES = {
    "dataset=yotube": "dataset 'yotube' is unknown; did you mean 'youtube'? Known: cancer,",
    "datset=sms": "the key 'datset' is unknown; did you mean 'dataset'?",
    "forse=true": "the key 'forse' is unknown; did you mean 'force'?",
    "label_model.start=3": "the key 'label_model.start' is unknown; did you mean 'label_model.starts'?",
    "+label_model.start=3": "the key 'label_model.start' is unknown; did you mean 'label_model.starts'?",
    "feature_extractor.n_components=3": "such keys: write feature_extractor.parts.NAME.n_components.",
    "paths.output=x": "the key 'paths.output' is unknown; did you mean 'paths.outputs'?",
    "hydra.launcher.tme=3": "the key 'hydra.launcher.tme' is unknown; the keys of a launcher or sweeper are in",
    "label_model.max_iterations=x": "label_model.max_iterations is 'x'; expected a whole number.",
    "label_model.max_iterations=-1": "label_model.max_iterations is -1; expected 1 or more.",
    "end_model.device=gpu": "end_model.device: Invalid value 'gpu', expected one of [auto, cpu, cuda].",
    "end_model.learning_rate=fast": "end_model.learning_rate is 'fast'; expected a number.",
    "dataset=[youtube,sms]": "to sweep over them say -m dataset=a,b",
    "hydra/launcher=rq": "a launcher or sweeper of that name must be installed first",
    "seed.values=null": "seed.values=null is invalid",
    "seed.values=5": "seed.values needs a list, as in 'seed.values=[...]'.",
    "experiment=smoke": "write +experiment=...",
    "+experiment=tiny end_model=none": "the experiment tiny sets end_model.max_epochs, and end_model=none has no key",
    "force=maybe": "force: Value 'maybe' is not a valid bool",
    "+force=true": "force is already there; leave out the + to change it.",
    "dataset=files": "dataset.path and dataset.prompt must be given",
    "dataset=sms,youtube": "to sweep over several values add -m",
    "dataset.prompt=it's": """is written 'dataset.prompt="it'"'"'s"'""",
    "dataset.prompt=Label spam, or ham": """one text is written 'dataset.prompt="Label spam, or ham"'""",
    "dataset.prompt=costs ${5": r"""is written 'dataset.prompt="costs \${5"'""",
    'dataset.prompt="say "spam" (or ham)"': r"""is written 'dataset.prompt="say \"spam\" (or ham)"'""",
    "dataset.prompt=costs ${price}": "a value refers to the key price, which does not exist; a text that contains ${",
    "dataset.classes=ham,not spam": """a list is written 'dataset.classes=[ham,"not spam"]'""",
    "dataset.classes=[account access (new),ä=$,{b}]": """'dataset.classes=["account access (new)","ä=$","{b}"]'""",
    "dataset.classes=[ham,not (spam)": """'dataset.classes=[ham,"not (spam)"]'""",
    "seed.values=[1,2": "a list is written 'seed.values=[1,2]'",
    "llm.price=input_usd_per_million:1": "llm.price is written 'llm.price={NAME:VALUE,...}' in single quotes, with the",
    "llm.price={as_of:1": "llm.price is written 'llm.price={NAME:VALUE,...}' in single quotes, with the names input_",
    "llm.price={input_usd:1}": "the key 'llm.price.input_usd' is unknown; did you mean 'llm.price.input_usd_per_milli",
    "model=gpt-4": "the key 'model' is unknown; did you mean feature_extractor.model or llm.model?",
    "batch=true": "the key 'batch' is unknown; did you mean llm.batch?",
    "label_model=glob(*": "'label_model=glob(*' cannot be parsed",
    "{a=b": "'{a=b' cannot be parsed; overrides are key=value, as in label_model=majority.",
    "seed=0": "seed '0' is unknown; did you mean 's0'? Known: five, s0, s1, s2, s3, s4. For a seed of your own say",
    "repair=true": "repair 'true' is unknown. Known: off, on.",
    "label_model.l2=0.1": "label_model.l2 no longer exists: label_model.prior_strengths, in votes, sets the pull",
    "label_model.seed=3": "label_model.seed no longer exists: the fit of label_model=snorkel is deterministic;",
    "+llm.pack=x": "llm.pack is now called llm.recording; write llm.recording=...",
    "--labelmodel": "the option '--labelmodel' is unknown; overrides have no dashes: write label_model=...",
    "--label_model=majority": "the option '--label_model' is unknown; overrides have no dashes: write label_model=...",
    "--resolv3": "the option '--resolv3' is unknown; did you mean '--resolve'?",
    "--config-dir": "argument --config-dir/-cd: expected one argument; see --help.",
    "label_model=glob(x*)": "no member of label_model fits glob(x*); known: accuracy_weighted,",
    "llm": "'llm' is not an override, which is key=value.",
    "~dataset": "dataset must be given",
    "sandbox=none": "sandbox.i_accept_untrusted_code=true",
    "+experiment=smok": "experiment 'smok' is unknown; did you mean 'smoke'?",
    "llm.recording=absent": "llm=recorded has no responses for 'absent'. It has responses for the datasets cancer, ",
    "dataset=youtube dataset.path=nope": "dataset.path='nope' is not its directory; leave out dataset.path, or",
    "dataset=yelp dataset.path=nope": "'nope' does not exist; set dataset.path to the file or directory of 'yelp'.",
    "dataset=files dataset.path=nope.csv dataset.classes=[a,b] dataset.prompt=p": "'nope.csv' does not exist; set",
    "dataset.prompt=other": "the prompt is not in the recording youtube.jsonl",
    "method.n_programs=11": "request at most 10 programs (method.n_programs=10)",
    "logger.mode=online": "needs the environment variable WANDB_API_KEY",
    "dataset=yelp": "the files of dataset 'yelp' are not at 'data/yelp'; set ALCHEMIST_DATA",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_is_one_sentence(
    override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(run.main, monkeypatch, *re.split(r" (?=[\w.]+=)", override)) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert MISTAKES[override] in printed.err
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_the_words_of_a_text_without_quotes_are_put_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("dataset.prompt=Label", "spam,", "or", "ham", "seed=s0")
    assert run_command(run.main, monkeypatch, *words) == 1
    assert """to make it a part of the text before it write 'dataset.prompt="Label spam, or ham"'""" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("label_model=glob(*)", f"label_model={','.join(config.members('label_model'))}"),
        ("dataset=glob([s*,y*],exclude=*t*)", "dataset=sms,yelp"),
        ("label_model.max_iterations=5", "label_model.max_iterations=5"),
    ],
)
def test_a_glob_finds_members_and_no_parts(override: str, expected: str) -> None:
    assert hydra_arguments([override, "-m", "--config-dir", "mine"]) == ["-m", "--config-dir", "mine", expected]


def test_a_full_traceback_only_with_debug_trace(cli) -> None:
    done = cli("debug=trace", "label_model.max_iterations=-1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ConfigError: label_model.max_iterations is -1" in done.stderr


def test_outputs_in_the_way_are_one_sentence(cli, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    done = cli("logger=none")
    assert done.returncode == 1
    assert "a file of that name is in the way" in done.stderr or "a part of the path is a file" in done.stderr


def test_everything_is_written_under_paths_outputs(cli, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = cli("paths.outputs=elsewhere/deep", *TINY, "logger=wandb", "-m", "seed=s0,s1", HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "home"]
    written = sorted(path.name for path in (tmp_path / "elsewhere" / "deep").iterdir())
    assert written == ["cache", "multirun", "runs"]
    runs = [path for path in (tmp_path / "elsewhere" / "deep" / "runs").iterdir() if not path.name.startswith(".")]
    assert len(runs) == 2
    assert all(len(list((run / "wandb").glob("offline-run-*"))) == 1 for run in runs)
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_in_a_sweep_a_failed_job_is_named_and_the_others_run(cli, tmp_path: Path) -> None:
    done = cli(
        "-m", "label_model=snorkel,majority", "method.n_programs=2", "+experiment=tiny", "sandbox.determinism_rows=0"
    )
    assert done.returncode == 1
    assert "label_model=snorkel" in done.stderr
    assert "label_model=snorkel needs 3 programs and at most 2 can vote" in done.stderr
    assert "Traceback" not in done.stderr
    records = [read_json(path, what="") for path in (tmp_path / "outputs" / "runs").glob("*/record.json")]
    assert sorted(record["status"] for record in records) == ["finished"]  # the other was refused before it began
    assert "majority" in done.stdout


def test_the_second_time_answers_from_the_record(cli) -> None:
    first, again = cli(*TINY), cli(*TINY)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert "loaded from the existing record" not in first.stdout
    assert "loaded from the existing record" in again.stdout
    assert first.stdout.splitlines()[3:] == again.stdout.splitlines()[4:]


def _start_interpreter(overrides: tuple[str, ...], cwd: Path) -> subprocess.Popen[bytes]:
    with (cwd / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "alchemist_exp.run", *overrides],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )


def _start_forked(overrides: tuple[str, ...], cwd: Path) -> ForkedProcess:
    return ForkedProcess("alchemist_exp.run", *overrides, cwd=cwd, files=(os.devnull, os.devnull, str(cwd / "stderr")))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_evidence_and_one_after_a_kill_finishes(cli, tmp_path: Path, sent: signal.Signals) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    slow = "def label_function(text):\n    for _ in range(10**7): pass\n    return {}\n"
    for i in range(3):
        (programs / f"{i}.py").write_text(slow.format(i % 2))
    overrides = ("method=program_files", "method.path=programs", "logger=none", "label_model=majority")
    # Ctrl-C needs a new interpreter, whose handlers no test process has changed; the others need only the signal.
    start = _start_interpreter if sent is signal.SIGINT else _start_forked
    job = start(overrides, tmp_path)
    record = next(_appears(tmp_path / "outputs" / "runs", "*/record.json"))
    assert read_json(record, what="")["status"] == "started"
    time.sleep(1)
    job.send_signal(sent)
    job.wait(timeout=60)
    stderr = (tmp_path / "stderr").read_text()
    status = read_json(record, what="")
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}.get(sent)
    if word:
        advice = "the same command goes on with the cached LLM responses, votes and features"
        assert (job.returncode, stderr) == (128 + sent, f"error: {word}; {advice}\n")
        assert (status["status"], status["error"]) == ("failed", word)
        return
    assert (job.returncode, status["status"]) == (-signal.SIGKILL, "started")
    for i in range(3):
        (programs / f"{i}.py").write_text(f"def label_function(text): return (len(text) + {i}) % 2 - {i // 2}")
    again = cli(*overrides, "+experiment=tiny", "end_model.max_epochs=1")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("command", [["alchemist_exp.run"], ["alchemist_exp.cli.main", "run"]])
@pytest.mark.parametrize("name", ["hydra", "omegaconf"])
def test_an_interrupt_during_the_imports_is_one_line(tmp_path: Path, command: list[str], name: str) -> None:
    (tmp_path / f"{name}.py").write_text("raise KeyboardInterrupt")
    module, *arguments = command
    code = f"import runpy, sys; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    if arguments:
        code = f"from {module} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def _appears(folder: Path, pattern: str):
    for _ in range(600):
        yield from folder.glob(pattern)
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} in {folder}")


def test_help_lists_groups_members_and_no_parts(cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    assert "\nlabel_model: How votes become soft labels.\n" in done.stdout
    assert "\n  snorkel            (default) Snorkel's generative label model, fitted" in done.stdout
    assert "\n+experiment: " in done.stdout
    for group in config.groups():
        assert re.search(rf"^\+?{group}: \w.+", done.stdout, re.MULTILINE)
        for member in config.members(group):
            assert re.search(rf"^  {member} +\S.+", done.stdout, re.MULTILINE)
    assert "_snorkel" not in done.stdout


def test_the_composed_configuration_can_be_seen(cli) -> None:
    done = cli("--cfg", "job", "dataset=sms")
    assert done.returncode == 0
    assert "positive_class: spam" in done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("--cfg", "job")])
def test_help_and_configuration_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; sys.argv[1:] = sys.argv[1:]; from alchemist_exp.cli import run\n"
        "try: run.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pytorch_lightning', 'datasets', 'wandb', 'snorkel', 'sklearn', 'pandas', 'pyarrow'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stderr


def test_the_console_script_says_what_it_can_do(tmp_path: Path) -> None:
    alchemist = partial(run_alchemist, cwd=tmp_path)
    assert "alchemist run [overrides]" in alchemist("--help").stdout
    assert "alchemist cache COMMAND" in alchemist("--help").stdout
    assert alchemist().stdout == alchemist("--help").stdout
    assert alchemist("--version").stdout.startswith("alchemist 0.")
    wrong = alchemist("rnu")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: the command 'rnu' is unknown; did you mean 'run'?")


def test_the_console_script_runs_the_same_app(tmp_path: Path) -> None:
    alchemist = partial(run_alchemist, cwd=tmp_path)
    assert "== Groups and their members" in alchemist("run", "--help").stdout
    assert "dataset 'yotube' is unknown" in alchemist("run", "dataset=yotube").stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_ends_cleanly(command: str) -> None:
    """`as_command` and `exits_cleanly` turn errors into sentences, and print what the terminal's encoding has not."""
    main = import_module(f"alchemist_exp.cli.{command}").main
    assert main.__wrapped__.__module__ == main.__module__
