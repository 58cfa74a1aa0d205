"""`alchemist completion SHELL`: prints the script that completes commands, groups, members and keys in a shell.

The script calls `alchemist completion words LINE` at each Tab, so this module imports neither Hydra nor plugins: names
of members are those of YAML files, keys are read from their lines.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command
from alchemist_exp.core.config_dir import config_dir

HYDRA_OPTIONS = ("--cfg", "--config-dir", "--help", "--multirun", "-m")
OPTIONS = {
    "run": HYDRA_OPTIONS,
    "plan": HYDRA_OPTIONS,
    "status": (*HYDRA_OPTIONS, "--outputs", "--watch"),
    "retry": (*HYDRA_OPTIONS, "--outputs", "--yes"),
    "submit": (*HYDRA_OPTIONS, "--ask-here", "--yes"),
    "wait": ("--help", "--outputs"),
    "cancel": ("--help", "--outputs"),
    "label": (
        *("--budget", "--classes", "--config-dir", "--help", "--label", "--llm", "--model", "--out", "--programs"),
        *("--overwrite", "--save", "--task", "--text", "--yes"),
    ),
    "apply": (
        *("--allow-module", "--cluster", "--config-dir", "--encoding", "--engine", "--help", "--keep", "--memory"),
        *("--out", "--outputs", "--overwrite", "--sandbox", "--text", "--walltime", "--weights", "--with", "--workers"),
    ),
    "explain": (
        *("--allow-module", "--config-dir", "--help", "--json", "--outputs", "--row", "--sandbox", "--split", "--text"),
        "--weights",
    ),
    "export": ("--config-dir", "--help", "--out", "--outputs", "--overwrite"),
    "compare": ("--format", "--help", "--out", "--overwrite", "--table"),
    "report": ("--help", "--out", "--outputs", "--overwrite"),
    "show": ("--help", "--outputs"),
    "review": ("--help", "--out", "--outputs", "--overwrite", "--rows", "--split"),
    "worth": ("--config-dir", "--help", "--json", "--outputs", "--overwrite", "--plot", "--rows", "--weights"),
}
"""The options of each command that takes overrides, filters or a run."""

SUBCOMMANDS = {"cache": ("export", "ls", "prune", "show", "verify"), "programs": ("diff", "edit")}

BASH = r"""
_alchemist() {
  local program="${COMP_WORDS[0]/#\~/$HOME}" line="${COMP_LINE:0:COMP_POINT}"
  case "${program##*/}" in
    python*)
      [[ $line =~ -m\ +alchemist_exp\.run\  ]] || return 0
      mapfile -t COMPREPLY < <("$program" -c 'from alchemist_exp.cli.main import main; main()' \
        completion words "$line" 2>/dev/null) ;;
    *) mapfile -t COMPREPLY < <("$program" completion words "$line" 2>/dev/null) ;;
  esac
  # Bash takes = as the end of a word, so the part before it is not repeated.
  local word="${line##* }"
  if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
    local before="${word%"${word##*=}"}"
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
  fi
  [[ ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
  return 0
}
complete -o default -o bashdefault -F _alchemist alchemist python python3
"""

ZSH = r"""
#compdef alchemist
_alchemist() {
  local -a found
  found=("${(@f)$(${words[1]} completion words "${LBUFFER}" 2>/dev/null)}")
  [[ -n $found[1] ]] && compadd -S '' -- $found || _files
}
compdef _alchemist alchemist
"""

FISH = r"""
complete -c alchemist -a '(alchemist completion words (commandline -cp) 2>/dev/null)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

DESCRIPTION = """\
Print the script that completes commands, groups, members and keys.

  bash   add to ~/.bashrc:                   eval "$(alchemist completion bash)"
  zsh    add to ~/.zshrc, after compinit:    eval "$(alchemist completion zsh)"
  fish   add to ~/.config/fish/config.fish:  alchemist completion fish | source

The one for bash also completes python -m alchemist_exp.run.
"""


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist completion`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist completion", description=DESCRIPTION)
    parser.add_argument("shell", choices=[*SCRIPTS, "words"], help="words: the completions of LINE, for these scripts")
    parser.add_argument("line", metavar="LINE", nargs="?", default="", help="a command line up to the cursor")
    chosen = parser.parse_args(arguments)
    text = "\n".join(complete(chosen.line)) if chosen.shell == "words" else SCRIPTS[chosen.shell].strip()
    if text:
        print(text)
    return 0


def complete(line: str) -> list[str]:
    """Return the words that can stand at the end of a command line.

    Args:
        line: The command line up to the cursor.

    Returns:
        Whole words, sorted; none where a file is expected.

    """
    from alchemist_exp.cli.main import COMMANDS

    _, *words = re.sub(r"^\S*python\S* +-m +alchemist_exp\.run(?= )", "alchemist run", line.lstrip()).split(" ")
    words = [word for word in words[:-1] if word] + words[-1:]
    match words:
        case []:
            found: Iterable[str] = ()
        case [_]:
            found = (*COMMANDS, "--help", "--version")
        case [command, _] if command in SUBCOMMANDS:
            found = SUBCOMMANDS[command]
        case ["completion", _]:
            found = SCRIPTS
        case [command, *_, current] if current.startswith("-"):
            found = OPTIONS.get(command, ("--help",))
        case ["show" | "review" | "report" | "worth", *_] | ["apply" | "export", _] | ["programs", "diff", *_]:
            found = [path.parent.name for path in OUTPUTS.glob("runs/*/record.json")]
        case ["apply" | "export" | "wait" | "cancel", *_]:
            found = ()
        case [command, *before, current] if command in OPTIONS:
            found = _overrides(before, current)
        case _:
            found = ()
    return sorted({word for word in found if word.startswith(words[-1])})


def _overrides(before: Sequence[str], current: str) -> Iterator[str]:
    """Yield overrides that may be meant by `current`, after the words `before`."""
    directories = [Path(config_dir())]
    for number, word in enumerate(before):
        if word in ("--config-dir", "-cd") and number + 1 < len(before):
            directories.append(Path(before[number + 1]).expanduser())
    groups = [path.name for path in directories[0].iterdir() if path.is_dir() and path.name != "hydra"]
    key, equals, value = current.partition("=")
    group = key.lstrip("+").partition(".")[0]
    if equals and key.lstrip("+") in groups:
        chosen = value.rpartition(",")[0]
        for directory in directories:
            for path in (directory / group).glob("[!_]*.yaml"):
                yield f"{key}={f'{chosen},' if chosen else ''}{path.stem}"
    elif not equals and group in groups and "." in key:
        # The member that the words choose, or the default.
        given = [word.partition("=")[2] for word in before if word.startswith(f"{group}=")]
        defaults = Path(config_dir(), "config.yaml").read_text(encoding="utf-8")
        default = re.search(rf'^  - {group}: "?(\w+)', defaults, re.MULTILINE)
        member = given[-1] if given else default[1] if default else ""
        for directory in directories:
            for name in _keys(directory / group, member):
                yield f"{group}.{name}="
    elif not equals:
        yield from (f"{'+' if group == 'experiment' else ''}{group}=" for group in groups)
        yield from (f"{group}." for group in groups if group != "experiment" and current)
        yield from (
            "budget.usd=",
            "force=true",
            "paths.data=",
            "paths.outputs=",
            "sweep.fail_fast=",
            "sweep.file=",
            "sweep.on_interrupt=",
            "sweep.skip=",
        )


def _keys(directory: Path, member: str) -> Iterator[str]:
    """Yield the keys of a member's file and of the files that its defaults list names."""
    try:
        text = Path(directory, f"{member}.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    yield from (key for key in re.findall(r"^(\w+):", text, re.MULTILINE) if key not in ("defaults", "name"))
    defaults = text.partition("defaults:")[2].partition("_self_")[0]
    yield from dict.fromkeys(re.findall(r"@(\w+)", defaults))  # keys that hold other members
    for parent in re.findall(r'(?:^  - |[\[ ])"?(\w+)"?', re.sub(r".*@.*", "", defaults), re.M):
        if parent != member:
            yield from _keys(directory, parent)
