"""How runs stand: `alchemist status`. Reads records and tries locks; for a sweep it also says which runs are missing.

A run's key depends on its data, so a sweep's datasets are loaded; nothing is run or asked.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.config_errors import exits_cleanly, flags_first
from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.exit_codes import print_error
from alchemist_exp.core.hashing import canonical_json
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.runs import UNUSED, Run, State, find

USAGE = """\
alchemist status OUTPUTS [overrides]: how runs stand. Runs nothing.

  alchemist status outputs                         every run there is
  alchemist status outputs +experiment=table8      the jobs of that sweep, and which are missing
  alchemist status outputs -m dataset=youtube,sms  any overrides of alchemist run

done: finished. failed: stopped by an error. running: has begun, and a process holds its lock. killed: has begun, and
nobody holds its lock; run it again. missing: a job of the sweep that has no run by this version of the program on the
data as they are now. Exit code: 0 when all are done, 1 when any is not.
"""

MISSING = "missing"
KEY_SHOWN = 12
"""Digits of a key that are shown."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is said of one run. state: a State, or MISSING. at: when it began. why: the error, if there was one."""

    state: str
    key: str
    what: str
    at: str = ""
    why: str = ""


_jobs: list[Line] = []
_fingerprints: dict[str, str] = {}
"""Of each dataset that was loaded, under what it was loaded with."""


@hydra.main(version_base="1.3", config_path=config.config_dir(), config_name="config")
def job(cfg: DictConfig) -> None:
    """Notes one job of the sweep, as if it had no run."""
    task = list(HydraConfig.get().overrides.task)
    what = " ".join(task)
    try:
        config.check_interpolated_overrides(cfg, task)
        experiment = config.build(cfg)
        dataset = canonical_json(experiment.dataset.key())
        if dataset not in _fingerprints:
            _fingerprints[dataset] = experiment.dataset.load().fingerprint
        _jobs.append(Line(state=MISSING, key=experiment.run_key(_fingerprints[dataset]), what=what))
    except AlchemistError as error:
        _jobs.append(Line(state=MISSING, key="", what=what, why=str(error)))


@exits_cleanly
def main() -> None:
    """The command line. Ends the process with 1 when a run is not done."""
    match sys.argv[1:]:
        case [] | ["--help" | "-h", *_]:
            print(USAGE, end="")
            return
        case [outputs, *overrides] if not outputs.startswith(("-", "+")) and "=" not in outputs:
            folder = Path(outputs)
        case [first, *_]:
            raise ConfigError(f"{first!r} is no folder; name the outputs first, as in alchemist status outputs.")
    found = find(folder)
    lines = {run.key: _line_of(run) for run in found.runs}
    shown = list(lines.values())
    if overrides:
        _compose(overrides)
        shown = [lines.get(missing.key, missing) for missing in _jobs]
    _print(shown)
    if others := len(lines.keys() - {line.key for line in shown}):
        print(f"not of this sweep as it would be run now: {others:,} runs")
    for sentence in found.broken:
        print_error(sentence)
    if found.broken or any(line.state != State.DONE for line in shown):
        sys.stdout.flush()
        sys.exit(1)


def _compose(overrides: Sequence[str]) -> None:
    """Composes every job in this process, whatever launcher would run it, and keeps nothing."""
    rest = [argument for argument in overrides if not argument.startswith("hydra/launcher=")]
    with tempfile.TemporaryDirectory() as notes:
        quietly = ["hydra/launcher=basic", "hydra/hydra_logging=disabled", f"hydra.sweep.dir={notes}"]
        sys.argv[1:] = flags_first([*rest, *quietly])
        job()


def _line_of(run: Run) -> Line:
    return Line(state=run.state.value, key=run.key, what=_named(run), at=run.at, why=run.error or "")


def _named(run: Run) -> str:
    """The members that tell runs apart."""
    unused = UNUSED.get(run.member("method"), ())
    groups = ("dataset", "method", "supplement", "label_model", "feature_extractor", "seed")
    parts = [run.member(group) for group in groups if group not in unused]
    if "selection.n" in run.values:
        parts.append(f"n={run.values['selection.n']}, draw {run.values.get('selection.seed')}")
    return " · ".join([*parts, f"gold {run.member('gold')}"])


def _print(lines: Sequence[Line]) -> None:
    width = max((len(line.what) for line in lines), default=0)
    for line in lines:
        began = line.at[:19].replace("T", " ")
        cells = f"{line.state:<9}{line.key[:KEY_SHOWN]:<14}", f"{line.what:<{width}}", f"{began:<19}", line.why
        print("  ".join(map(single_line, cells)).rstrip())
    counts = Counter(line.state for line in lines)
    order = [*(state.value for state in State), MISSING]
    print(", ".join(f"{counts[state]:,} {state}" for state in order if counts[state]) or "no runs")
