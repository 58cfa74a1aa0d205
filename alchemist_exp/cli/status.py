"""`alchemist status`: lists the runs of an outputs directory; for a sweep also the jobs that have no run.

It reads records and tests locks. A run's key depends on its data, so a sweep's datasets are loaded; nothing is run.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.cli.arguments import OUTPUTS, Parser
from alchemist_exp.cli.hydra_command import exits_cleanly, option_parser
from alchemist_exp.cli.sweep import visit_jobs
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.exit_codes import print_error
from alchemist_exp.core.hashing import canonical_json
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.report import SHOWN_KEY_DIGITS

USAGE = """\
alchemist status [OUTPUTS] [overrides]: the runs of an outputs directory and what has become of them. Runs nothing.

  alchemist status                                 every run of the directory outputs
  alchemist status elsewhere                       every run of another directory
  alchemist status +experiment=table8              the jobs of that sweep, and which of them have no run
  alchemist status -m dataset=youtube,sms          any overrides of alchemist run

done: finished. failed: ended by an error. interrupted: ended by Ctrl-C or SIGTERM; run it again. running: has begun,
and a process holds its lock. killed: has begun, and no process holds its lock; run it again. missing: a job of the
sweep that has no run by this version of the program on the current data. Exit code: 0 when all are done, else 1.
--outputs DIR names the directory too, as in the other commands.
"""

MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class StatusLine:
    """What is shown of one run or job.

    Attributes:
        state: A RunState, or MISSING.
        key: The run's key; "" where it cannot be computed.
        name: Its members, or a job's overrides.
        started_at: When it began; "" for a job without a run.
        error: Why it failed or cannot run.

    """

    state: str
    key: str
    name: str
    started_at: str = ""
    error: str = ""


@exits_cleanly
def main() -> None:
    """Print the runs, or the sweep's jobs, of the command line in sys.argv; end with 1 when one is not done."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(USAGE, end="")
        return
    parser = Parser(prog="alchemist status", add_help=False, allow_abbrev=False)
    parser.add_argument("--outputs", type=Path)
    chosen, overrides = parser.parse_known_args(sys.argv[1:])
    directory = chosen.outputs or OUTPUTS
    for text in option_parser().parse_known_intermixed_args(overrides)[0].overrides:
        key, equals, value = text.partition("=")
        if key == "paths.outputs" or (not equals and not text.startswith("~")):
            directory = Path(value if equals else text)
            overrides.remove(text)
            break
    runs, errors = _runs(directory)
    shown = list(runs.values())
    if overrides:
        shown = [runs.get(job.key, job) for job in _jobs(overrides)]
    from alchemist_exp.results.runs import RunState

    state_width = max((len(line.state) for line in shown), default=0) + 2
    width = max((len(line.name) for line in shown), default=0)
    for line in shown:
        started = line.started_at[:19].replace("T", " ")
        cells = (
            f"{line.state:<{max(9, state_width)}}{line.key[:SHOWN_KEY_DIGITS]:<14}",
            f"{line.name:<{width}}",
            f"{started:<19}",
            line.error,
        )
        print("  ".join(map(single_line, cells)).rstrip())
    counts = Counter(line.state for line in shown)
    states = (*RunState, MISSING)
    print(", ".join(f"{counts[state]:,} {state}" for state in states if counts[state]) or "no runs")
    if others := len(runs.keys() - {line.key for line in shown}):
        number = "1 other run is" if others == 1 else f"{others:,} other runs are"
        print(f"{number} in {single_line(str(directory))}, with other settings, data or another version of the program")
    for sentence in errors:
        print_error(sentence)
    if errors or counts.keys() - {"done"}:
        sys.stdout.flush()
        sys.exit(1)


def _runs(directory: Path) -> tuple[dict[str, StatusLine], tuple[str, ...]]:
    """Return a line for each run by its key, and a sentence about each record that cannot be read."""
    from alchemist_exp.results.runs import index_runs, run_name

    index = index_runs(directory)
    lines = {}
    for key, run in index.runs.iterrows():
        lines[str(key)] = StatusLine(
            state=run["state"],
            key=str(key),
            name=run_name(run),
            started_at=run["started_at"],
            error="" if run["error"] in (None, run["state"]) else run["error"],
        )
    return lines, index.errors


def _jobs(overrides: list[str]) -> list[StatusLine]:
    """Return a line for each job of a sweep, as if it had no run."""
    jobs: list[StatusLine] = []
    fingerprints: dict[str, str] = {}

    def _visit(cfg: DictConfig, task: list[str]) -> None:
        key, error = "", ""
        try:
            config.check_interpolated_overrides(cfg, task)
            experiment = config.build(cfg)
            # Each dataset is loaded once, however many jobs use it.
            dataset = canonical_json(experiment.dataset)
            if dataset not in fingerprints:
                fingerprints[dataset] = experiment.dataset.load().fingerprint
            key = experiment.run_key(fingerprints[dataset])
        except AlchemistError as refusal:
            error = str(refusal)
        jobs.append(StatusLine(state=MISSING, key=key, name=" ".join(task), error=error))

    visit_jobs(overrides, _visit, list_jobs=False)
    return jobs
