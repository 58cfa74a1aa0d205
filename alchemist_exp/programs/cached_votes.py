"""The cache entry of one program on the rows of one split: its votes, and how it ran."""

import json
from pathlib import Path

import numpy as np

from alchemist_exp.core.artifact_cache import read_array
from alchemist_exp.core.atomic_io import read_json
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.sandbox.base import Outcome, ProgramRun, ProgramStatus


def write_run(run: ProgramRun, directory: Path) -> None:
    """Write a run as votes.npy and run.json.

    Args:
        run: The run.
        directory: The directory of the cache entry.

    """
    np.save(directory / "votes.npy", run.votes)
    rest = {
        "status": run.status,
        "outcomes": to_jsonable(run.outcomes),
        "messages": to_jsonable(run.messages),
        "detail": run.detail,
        "restarts": run.restarts,
        "cpu_seconds": run.cpu_seconds,
        "wall_seconds": run.wall_seconds,
        "nondeterministic": run.nondeterministic,
    } | ({"sets": True} if run.multi_label else {})
    (directory / "run.json").write_text(json.dumps(rest, indent=2), encoding="utf-8")


def read_run(directory: Path) -> ProgramRun:
    """Read a run that `write_run` wrote.

    Args:
        directory: The directory of the cache entry.

    Returns:
        The run; its votes are memory-mapped.

    Raises:
        StoreError: A file is missing or broken.

    """
    rest = read_json(directory / "run.json", what="the cached votes'")
    return ProgramRun(
        votes=read_array(directory / "votes.npy"),
        status=ProgramStatus(rest["status"]),
        outcomes={Outcome(k): v for k, v in rest["outcomes"].items()},
        messages={Outcome(k): v for k, v in rest["messages"].items()},
        detail=rest["detail"],
        restarts=rest["restarts"],
        cpu_seconds=rest["cpu_seconds"],
        wall_seconds=rest.get("wall_seconds", rest["cpu_seconds"] or 0.0),  # version 0.1 kept the CPU time only
        nondeterministic=rest["nondeterministic"],
        multi_label=rest.get("sets", False),
    )
