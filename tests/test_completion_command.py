"""Completion: the words of a command line, and the script in a real bash."""

import subprocess
import sys
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.cli import completion
from alchemist_exp.cli.completion import OPTIONS, SUBCOMMANDS, complete
from alchemist_exp.cli.main import COMMANDS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("alchemist st", ["status"]),
        (".venv/bin/alchemist  --v", ["--version"]),
        ("alchemist run label_model=s", ["label_model=snorkel", "label_model=stacked"]),
        ("alchemist plan -m dataset=sms,y", ["dataset=sms,yelp", "dataset=sms,youtube"]),
        ("alchemist run +experiment=ti", ["+experiment=tiny"]),
        ("alchemist run label_m", ["label_model.", "label_model="]),
        ("alchemist run label_model.max_it", ["label_model.max_iterations="]),
        ("alchemist run label_model=majority label_model.max_it", []),
        ("alchemist run llm=openai llm.max_o", ["llm.max_output_tokens="]),
        ("alchemist run dataset.limi", ["dataset.limit="]),
        ("alchemist run paths.o", ["paths.outputs="]),
        ("alchemist run dataset.path=", []),
        ("alchemist run --conf", ["--config-dir"]),
        ("alchemist cache pr", ["prune"]),
        ("alchemist completion f", ["fish"]),
        ("alchemist label --ta", ["--task"]),
        ("alchemist apply 0a --wi", ["--with"]),
        ("alchemist apply 0a ", []),
        ("alchemist unheard-of ", []),
        ("python -m alchemist_exp.run seed=f", ["seed=five"]),
        ("alchemist", []),
        ("", []),
    ],
)
def test_the_words_that_fit(line: str, expected: list[str]) -> None:
    assert complete(line) == expected


def test_every_group_member_and_key_is_completed(composed) -> None:
    for group in config.groups():
        plus = "+" if group == "experiment" else ""
        members = [word.partition("=")[2] for word in complete(f"alchemist run {plus}{group}=")]
        assert members == config.members(group)
    cfg = composed()
    for group in set(config.groups()) - {"experiment"}:
        known = {f"{group}.{key}=" for key in cfg[group]}
        assert set(complete(f"alchemist run {group}.")) <= known


def test_own_members_and_runs_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("mine/label_model/own.yaml", "outputs/runs/0a1b/record.json"):
        Path(file).parent.mkdir(parents=True)
        Path(file).write_text("alpha: 1\n")
    assert complete("alchemist run --config-dir mine label_model=o") == ["label_model=one_coin", "label_model=own"]
    assert complete("alchemist run --config-dir mine label_model=own label_model.a") == ["label_model.alpha="]
    assert complete("alchemist show 0") == ["0a1b"]


def test_the_lists_are_those_of_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert {*OPTIONS, *SUBCOMMANDS} <= {*COMMANDS}
    from alchemist_exp.cli import cache, compare, label, show, worth

    commands = {"label": label, "compare": compare, "show": show, "cache": cache, "worth": worth}
    for name, command in commands.items():
        with pytest.raises(SystemExit):
            command.main(["--help"])
        text = capsys.readouterr().out
        assert all(word in text for word in OPTIONS.get(name, SUBCOMMANDS.get(name, ())))


BASH = r"""
eval "$("$1" -c 'from alchemist_exp.cli.main import main; main()' completion bash)"
alchemist() { :; }
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDS=("$3") COMP_CWORD=0
_alchemist 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
complete -p alchemist
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("PYTHON -m alchemist_exp.run label_model=s", ["snorkel", "stacked"]),
        ("PYTHON -m alchemist_exp.run -m dataset=sms,y", ["sms,yelp", "sms,youtube"]),
        ("PYTHON -m alchemist_exp.run label_model.max_it", ["label_model.max_iterations="]),
        ("PYTHON script.py label_model=s", [""]),
        ("alchemist run seed=fi", ["five"]),
    ],
)
def test_a_real_bash_completes(line: str, expected: list[str], tmp_path: Path) -> None:
    program = tmp_path / "alchemist"
    code = "from alchemist_exp.cli.main import main; main()"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code}' \"$@\"\n")
    program.chmod(0o755)
    word = sys.executable if line.startswith("PYTHON") else str(program)
    line = line.replace("PYTHON", sys.executable)
    done = subprocess.run(["bash", "-c", BASH, "-", sys.executable, line, word], capture_output=True, text=True)
    assert done.stderr == ""
    *found, registered = done.stdout.splitlines()
    assert found == expected
    assert registered == "complete -o bashdefault -o default -F _alchemist alchemist"


@pytest.mark.parametrize("shell", completion.SCRIPTS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert completion.main([shell]) == 0
    assert "alchemist" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        completion.main(["tcsh"])
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
