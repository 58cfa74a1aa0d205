"""The runs under a folder of outputs, as comparisons need them: what was asked for, how it ended, its figures.

A record that cannot be read, or lacks what a comparison needs, is named and passed over.
"""

import fcntl
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from alchemist_exp.core.errors import ConfigError, StoreError, unknown_name
from alchemist_exp.results.record import RunRecord, RunStatus

GROUPS = ("dataset", "method", "supplement", "selection", "label_model")
"""The groups a comparison compares; runs of the same member have to agree in its other values."""

UNUSED = {
    "human": ("llm", "supplement", "sandbox", "vetting", "repair", "selection"),
    "program_files": ("llm", "supplement", "repair"),
    "zero_shot": ("supplement", "sandbox", "vetting", "repair", "selection", "label_model"),
}
"""Groups that cannot alter what a method makes, so that its runs may differ in them."""

_PASSED_OVER = ("logger", "debug", "paths", "budget", "force", "seed", "gold")
_LLM = ("name", "model", "pack", "price", "temperature", "max_output_tokens", "seed", "diversity")
_MOVED = ("dataset.path", "dataset.license", "sandbox.workers", "selection.n", "selection.seed")
"""Values that may differ: where files lie, how fast, and what figure 5 goes through."""


class State(StrEnum):
    """How a run stands. RUNNING and KILLED have both begun and not ended; a running one's lock is held."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    KILLED = "killed"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a finished run has measured. Scores are by name: accuracy, f1, macro_f1; None and empty without test gold.

    coverage: share of training rows with a label. programs: how many voted. label_model: test scores over covered rows.
    distilled: test scores of each seed. Dollars are None where a price is not known.
    """

    coverage: float
    programs: int
    label_model: Mapping[str, float] | None
    distilled: Mapping[str, Mapping[int, float]]
    programs_usd: float | None
    zero_shot_usd: float | None
    cost_basis: str
    spent_usd: float | None
    list_price_usd: float | None
    train_rows: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One record. values: the whole configuration, code, packages and data, as dotted keys."""

    key: str
    state: State
    at: str
    error: str | None
    values: Mapping[str, Any]
    overrides: Sequence[str]
    figures: Figures | None

    def member(self, group: str) -> str:
        """The member of a configuration group; runs from before there was a selection took all programs."""
        return str(self.values.get(f"{group}.name", "all" if group == "selection" else ""))

    def is_of(self, members: Mapping[str, Any]) -> bool:
        """Whether the run has these members and values; groups that its method has no use for do not count."""
        unused = UNUSED.get(self.member("method"), ())
        return all(
            key in unused or (self.member(key) if "." not in key else self.values.get(key)) == wanted
            for key, wanted in members.items()
        )

    def among(self, key: str) -> str:
        """Which runs have to agree with this one in `key`: those of the same dataset, say, or, being "", all."""
        group = "dataset" if key in ("data.fingerprint", "llm.recording") else key.partition(".")[0]
        if group == "llm":
            return f"method={self.member('method')}"
        return f"{group}={self.member(group)}" if group in GROUPS and key != "dataset.limit" else ""

    def settings(self) -> dict[str, Any]:
        """What can move a figure; runs that differ in any of it do not belong into one table."""
        unused = UNUSED.get(self.member("method"), ())
        return {
            key: value
            for key, value in self.values.items()
            if (group := key.split(".")[0]) not in (*_PASSED_OVER, *unused)
            and key not in _MOVED
            and (group != "llm" or key.split(".")[1] in _LLM)
        }


@dataclass(frozen=True, kw_only=True)
class Found:
    """The runs of a folder, in the order they began, and a sentence about each record that could not be read."""

    runs: tuple[Run, ...]
    broken: tuple[str, ...]


def find(outputs: Path) -> Found:
    """The runs under `outputs`. StoreError when there is no such folder of outputs."""
    if not (outputs / "runs").is_dir():
        raise StoreError(f"{outputs} holds no runs/; name the folder given to the runs as paths.outputs.")
    runs, broken = [], []
    for folder in sorted(path for path in (outputs / "runs").iterdir() if not path.name.startswith(".")):
        try:
            if (run := read(folder)) is not None:
                runs.append(run)
        except (StoreError, OSError) as error:
            broken.append(str(error))
    return Found(runs=tuple(sorted(runs, key=lambda run: (run.at, run.key))), broken=tuple(broken))


def read(folder: Path) -> Run | None:
    """The run in `folder`, None when there is none. StoreError when its record is broken."""
    record = RunRecord.read(folder)
    if record is None:
        return None
    state = State.DONE if record.status is RunStatus.FINISHED else State.FAILED
    if record.status is RunStatus.STARTED:
        held = _is_held(folder.parent / ".locks" / f"{folder.name}.lock")
        again = None if held else RunRecord.read(folder)
        if again is not None and again.status is not RunStatus.STARTED:
            return read(folder)  # it has ended just now
        state = State.RUNNING if held else State.KILLED
    try:
        return Run(
            key=folder.name,
            state=state,
            at=str(record.started_at),
            error=None if record.error is None else str(record.error),
            values=dict(_flat(_known(record), "")),
            overrides=[str(override) for override in record.overrides],
            figures=_figures(record) if state is State.DONE else None,
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise StoreError(f"the record in {folder} is broken ({what}); delete it and run again.") from error


def _known(record: RunRecord) -> dict[str, Any]:
    """The configuration and what else has to be the same for figures to be compared."""
    for group in GROUPS[:3]:
        if not isinstance(record.config[group]["name"], str):
            raise TypeError(f"config.{group}.name is no text")
    for group in (*GROUPS, "llm"):
        if group in record.config and not isinstance(record.config[group], Mapping):
            raise TypeError(f"config.{group} is no mapping")
    for name, listed in (("overrides", record.overrides), ("warnings", record.label_model.get("warnings", []))):
        if not isinstance(listed, list):
            raise TypeError(f"{name} is no list")
    data = {"fingerprint": record.data["fingerprint"]}
    return {**record.config, "code": record.code, "packages": record.packages, "data": data}


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


_SCORES = ("accuracy", "f1", "macro_f1")


def _figures(record: RunRecord) -> Figures:
    cost, against = record.cost, record.cost["break_even"]
    seeds, test = record.end_model["seeds"], record.end_model["metrics"].get("test", {})
    label_model = record.label_model["metrics"].get("test")
    return Figures(
        coverage=_share(record.label_model["coverage"]["train"]),
        programs=int(record.programs["selected" if "selected" in record.programs else "accepted"]),
        label_model=None if label_model is None else {name: _number(label_model[name]) for name in _SCORES},
        distilled={
            name: dict(zip(map(int, seeds), map(_number, summary["per_seed"]), strict=True))
            for name, summary in test.items()
        },
        programs_usd=_dollars(against["programs_usd"]),
        zero_shot_usd=_dollars(against["zero_shot_usd"]),
        cost_basis=f"{against['basis']}; prices: {against['price_as_of'] or 'not known'}",
        spent_usd=_dollars(cost["spent_usd"]),
        list_price_usd=_dollars(cost["list_price_usd"]),
        train_rows=int(_number(record.data["rows"]["train"])),
        warnings=tuple(str(warning) for warning in record.label_model["warnings"]),
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is no number")
    return float(value)


def _share(value: object) -> float:
    if not 0 <= (share := _number(value)) <= 1:
        raise ValueError(f"{share} is no share")
    return share


def _dollars(value: object) -> float | None:
    return None if value is None else _number(value)


def _is_held(lock: Path) -> bool:
    """Whether a process holds the lock; asking takes it for no longer than the answer."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def narrowed(runs: Sequence[Run], filters: Mapping[str, Sequence[str]]) -> list[Run]:
    """The runs that pass every filter: key -> texts, one of which the value has to be.

    A key is a group, meaning its member, or a dotted key. ConfigError for a key that no run has.
    """
    dotted = {key for run in runs for key in run.values}
    known = {*GROUPS, *dotted, *(key.partition(".")[0] for key in dotted)}
    for key in filters:
        if runs and key not in known:
            alike = {name for name in known if "." in name and name.split(".")[0] == key.split(".")[0]}
            raise ConfigError(unknown_name("the filter", key, alike or {name for name in known if "." not in name}))
    kept = list(runs)
    for key, texts in filters.items():
        fit = {run.key for run in kept if passes(run, key, texts)}
        # A dotted key speaks of its kind alone: label_model.epochs=50 says nothing about majority votes.
        spoken_of = {run.among(key) for run in kept if run.key in fit}
        kept = [run for run in kept if run.key in fit or ("." in key and run.among(key) not in spoken_of and fit)]
    return kept


def passes(run: Run, key: str, texts: Sequence[str]) -> bool:
    """Whether the run's value of `key` is one of `texts`; of the code, its first digits do."""
    if key.partition(".")[0] in UNUSED.get(run.member("method"), ()):
        return True
    value = run.values[key] if key in run.values else run.member(key)
    return any(as_text(value) == text or (key == "code" and str(value).startswith(text)) for text in texts)


def as_text(value: object) -> str:
    """A value as it is written in a filter or an override."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)
