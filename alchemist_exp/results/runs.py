"""The runs in an outputs directory as a pandas frame, and which of them a comparison is over.

A record that cannot be read, or that misses what a comparison needs, is named in `RunIndex.errors` and left out. The
texts of a record are escaped when it is read, so that no control character reaches a terminal or a file.
"""

import fcntl
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.record import SCORES, SECTIONS, OutdatedRecordError, RunRecord, RunStatus

AXES = frozenset({"dataset", "method", "supplement", "selection", "selection.n", "label_model", "gold"})
"""What any sweep may be over: runs with the same member of a group have to agree in the group's other values."""

REPLICATES = frozenset({"seed", "selection.seed", "dataset.seed"})
"""The group and the values that a mean is over. A dataset that is drawn (toy_birds) has a seed."""

GROUP_SCORES = {
    "average": "average",
    "adjusted_average": "adjusted average",
    "worst_accuracy": "worst group",
    "gap": "gap",
}
"""The accuracies by group in a record, and their headings; only runs on data with a group attribute have them."""

_NUMBER = int | float
_MAX_NUMBER = 2.0**62
"""No count or score reaches it; a record with a larger number, an infinite one or NaN is broken."""

_TYPES: dict[str, Any] = {"started_at": str, "overrides": list, "code": str, "data.fingerprint": str}
_FINISHED_TYPES: dict[str, Any] = {
    "programs.selected": int,
    "label_model.coverage.train": _NUMBER,
    "label_model.warnings": list,
    "end_model.seeds": list,
    "data.rows.train": int,
    "cost.break_even.programs_usd": _NUMBER | None,
    "cost.break_even.zero_shot_usd": _NUMBER | None,
    "cost.break_even.basis": str,
    "cost.spent_usd": _NUMBER | None,
    "cost.list_price_usd": _NUMBER | None,
}
"""The keys of a record that comparisons need, and their types."""


class RunState(StrEnum):
    """What has become of a run. RUNNING and KILLED have begun and not ended; a running one's lock is held.

    Ctrl-C or SIGTERM has ended an INTERRUPTED one.
    """

    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    RUNNING = "running"
    KILLED = "killed"


@dataclass(frozen=True, kw_only=True, eq=False)
class RunIndex:
    """The runs of an outputs directory.

    Attributes:
        runs: One row for each run, in the order they began; the index is the name of its directory. Columns: `state`;
            the member of each configuration group (`label_model`), NaN where the run's method does not use the group;
            and each value of the record by its path (`config.label_model.starts`, `cost.spent_usd`,
            `end_model.metrics.test.accuracy.mean`), NaN where a record does not have it.
        errors: A sentence about each record that could not be read.

    """

    runs: pd.DataFrame
    errors: tuple[str, ...]


def load_runs(outputs: Path | str) -> pd.DataFrame:
    """Return the runs of an outputs directory as one frame, for a notebook or a script.

    Args:
        outputs: The directory that the runs had as `paths.outputs`.

    Returns:
        `RunIndex.runs`, with numbers as numbers. A record that cannot be read is logged as a warning and left out.

    Raises:
        StoreError: There is no such directory of outputs.

    """
    index = index_runs(Path(outputs))
    for sentence in index.errors:
        logging.getLogger(__name__).warning("%s", sentence)
    return index.runs.infer_objects()


def index_runs(outputs: Path) -> RunIndex:
    """Read the records of all runs in an outputs directory.

    Args:
        outputs: The directory that the runs had as `paths.outputs`.

    Returns:
        The runs, and a sentence about each record that could not be read.

    Raises:
        StoreError: There is no such directory of outputs.

    """
    if not (outputs / "runs").is_dir():
        raise StoreError(f"{outputs} has no directory runs/; give the directory that the runs had as paths.outputs.")
    rows, errors, outdated = [], [], list[OutdatedRecordError]()
    for directory in sorted(path for path in (outputs / "runs").iterdir() if not path.name.startswith(".")):
        try:
            state, record = _read(directory)
            if record is not None:
                rows.append({"run": single_line(directory.name), "state": state, **_row(record)})
        except OutdatedRecordError as error:
            outdated.append(error)
        except (StoreError, OSError) as error:
            errors.append(str(error))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
            what = f"{type(error).__name__}: {error}"
            errors.append(f"the record in {directory} is broken ({what}); delete it and run again.")
    if outdated:
        others = f" It is one of {len(outdated)} such records." if len(outdated) > 1 else ""
        errors.append(f"{outdated[0]}{others}")
    rows.sort(key=lambda row: (row["started_at"], row["run"]))
    frame = pd.DataFrame(rows, dtype=object)
    needed = ["run", "state", "error", "seed", "llm", "feature_extractor", "config.dataset.limit"]
    needed += ["cost.break_even.price_as_of", *_TYPES, *_FINISHED_TYPES, *sorted(AXES - {"selection.n"})]
    frame = frame.reindex(columns=[*frame.columns, *(name for name in needed if name not in frame)])
    # The copy is one block of memory: filters and groupings of hundreds of single columns are many times slower.
    return RunIndex(runs=frame.astype(object).set_index("run").copy(), errors=tuple(errors))


def _read(directory: Path) -> tuple[RunState, RunRecord | None]:
    """Return the state and the record of the run in `directory`; no record where there is none."""
    record = RunRecord.read(directory)
    if record is None or record.status is not RunStatus.STARTED:
        if record and record.status is RunStatus.FAILED:
            return RunState.INTERRUPTED if record.interrupted else RunState.FAILED, record
        return RunState.DONE, record
    try:
        # Taken for the time of this test only.
        with (directory.parent / ".locks" / f"{directory.name}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except BlockingIOError:
        return RunState.RUNNING, record
    # The run may have ended between reading its record and testing its lock.
    again = RunRecord.read(directory)
    return (RunState.KILLED, record) if again is None or again.status is RunStatus.STARTED else _read(directory)


def _row(record: RunRecord) -> dict[str, Any]:
    """Return a record's values by their paths, and the members of the groups that its method uses."""
    for name in ("components", "packages", "groups", *SECTIONS):
        if not isinstance(getattr(record, name), Mapping):
            raise TypeError(f"{name} is not a mapping")
    row = dict(flatten(vars(record)))
    if record.multi_label:
        row["config.dataset.metric"] = record.metric  # the configuration has that of single classes
    members = {path.split(".")[1]: path for path in row if path.startswith("config.") and path.endswith(".name")}
    members |= {group: f"config.{group}.name" for group in record.components}
    types = _TYPES | dict.fromkeys(members.values(), str)
    values = dict(row)
    if record.status is RunStatus.FINISHED:
        types |= _FINISHED_TYPES
        single, seeded = _score_paths(record, row)
        types |= dict.fromkeys(single, _NUMBER)
        for path in seeded:
            per_seed = zip(row["end_model.seeds"], row[f"{path}.per_seed"], strict=True)
            values |= {f"{path} of seed {seed}": value for seed, value in per_seed}
        types |= dict.fromkeys(values.keys() - row.keys(), _NUMBER)
    for path, kind in types.items():
        value = values[path]
        is_number = isinstance(value, int | float)
        if not isinstance(value, kind) or isinstance(value, bool) or (is_number and not abs(value) < _MAX_NUMBER):
            raise TypeError(f"{path} is {str(value)[:40]!r}")
    if not 0 <= row.get("label_model.coverage.train", 0) <= 1:
        raise ValueError("label_model.coverage.train is not a share")
    # A record has no key of concepts if the method does not use them. Groups such as logger never have a key.
    unused = {group for group, key in ({"concepts": None} | record.components).items() if key is None}
    return row | {group: row[path] for group, path in members.items() if group not in unused}


def _score_paths(record: RunRecord, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the paths of the label model's scores, and of the end model's, which have a value for each seed."""
    single, seeded = [], []
    for split in ("test", "valid"):
        for kind in ("metrics", "metrics_unseen"):
            of_votes, of_model = f"label_model.{kind}.{split}", f"end_model.{kind}.{split}"
            if row.get(of_votes, "") is not None and split in record.label_model.get(kind, ()):
                single += _defined(row, of_votes, SCORES)
            if split in record.end_model.get(kind, ()):
                seeded += _defined(row, of_model, SCORES)
        for model, paths in (("label_model", single), ("end_model", seeded)):
            of_groups = f"groups.{model}.{split}"
            if not isinstance(scored := record.groups.get(model, {}), Mapping):
                raise TypeError(f"groups.{model} is not a mapping")
            if row.get(of_groups, "") is not None and split in scored:
                paths += _defined(row, of_groups, GROUP_SCORES)
    return single, seeded


def _defined(row: Mapping[str, Any], path: str, scores: Iterable[str]) -> list[str]:
    """Return the paths of the scores on a split.

    F1 is null if no row of the split is of the positive class; the adjusted average if it has no weights.
    """
    paths = [f"{path}.{score}" for score in scores]
    return [path for path in paths if not path.endswith((".f1", ".adjusted_average")) or row.get(path, 0) is not None]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by their dotted paths, texts escaped."""
    for key, value in tree.items():
        path = prefix + single_line(str(key))
        if isinstance(value, Mapping):
            yield from flatten(value, f"{path}.")
        else:
            yield path, _escaped(value)


def _escaped(value: Any) -> Any:
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return single_line(value) if isinstance(value, str) else value


def members_of(record: RunRecord) -> Mapping[str, Any]:
    """Return the members and values of one record, as a row of `RunIndex.runs` has them.

    Args:
        record: The record of a run.

    """
    return _row(record)
