"""Compares `alchemist apply` on many files, by the engines local and dask, with a plain Python loop on the same files.

CPU time is that of all processes and is reliable on a busy machine; rows per second and the gain of a second worker
need an idle one. The rows are comments of the packaged YouTube data with a number, the programs are the ten recorded
ones.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from bench.sandbox import functions_of, sources_and_texts
from bench.timing import memory_of

ROWS = (20_000,)
SHARD_ROWS = 25_000
CLI = [sys.executable, "-c", "from alchemist_exp.cli.main import main; main()"]
ENGINES = {
    "local": ["--engine", "local"],
    "dask, 1 worker": ["--engine", "dask", "--workers", "1"],
    "dask, 2 workers": ["--engine", "dask", "--workers", "2"],
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took.

    Attributes:
        wall_s: Wall time in seconds, with the start of all processes.
        cpu_s: User and system time in seconds of all processes.
        peak_mb: Peak memory in MB of all processes; shared pages are counted once.

    """

    wall_s: float
    cpu_s: float
    peak_mb: float


def compare() -> Iterator[tuple[str, float, str, float]]:
    """Yield no comparison: `measure` has rates and memory, which are no ratios of seconds.

    Yields:
        Nothing.

    """
    yield from ()


def measure(rows: Sequence[int] | None, engines: Sequence[str] = tuple(ENGINES)) -> Iterator[str]:
    """Yield CPU time, rows per second and peak memory of each engine and of the plain loop.

    Args:
        rows: Numbers of rows; ROWS if None.
        engines: Keys of ENGINES.

    Yields:
        One sentence per measurement.

    """
    with TemporaryDirectory() as name:
        root = Path(name)
        overrides = ["dataset=youtube", "dataset.limit=100", "label_model=majority", "end_model=none", "logger=none"]
        made = [*CLI, "run", *overrides, f"paths.outputs={root / 'outputs'}"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        (run,) = (root / "outputs" / "runs").glob("*/record.json")
        for count in rows or ROWS:
            shards = root / f"shards{count}"
            _write_shards(shards, count)
            loop = [
                sys.executable,
                "-c",
                f"from bench.apply import loop; loop({str(shards)!r}, {str(root / 'loop')!r})",
            ]
            yield _sentence("plain loop, no sandbox", count, _cost(loop))
            for engine in engines:
                out = root / f"{count} {engine}"
                command = [*CLI, "apply", str(run.parent), f"{shards}/*.parquet", "-o", str(out), "--keep", "id"]
                yield _sentence(engine, count, _cost([*command, "--with", "programs", *ENGINES[engine]]))
                _require_equal(root / "loop", out)


def loop(shards: str, out: str) -> None:
    """Write the votes of the recorded programs on each shard, in this process.

    Args:
        shards: The directory of the inputs.
        out: The directory of the votes.

    """
    functions = functions_of(sources_and_texts("youtube")[0])
    Path(out).mkdir(exist_ok=True)
    for path in sorted(Path(shards).glob("*.parquet")):
        texts = parquet.read_table(path, columns=["text"])["text"].to_pylist()
        votes = {
            f"{at}": pa.array([function(text) for text in texts], pa.int8()) for at, function in enumerate(functions)
        }
        parquet.write_table(pa.table(votes), Path(out, path.name), compression="zstd")


def _write_shards(directory: Path, n_rows: int) -> None:
    texts = sources_and_texts("youtube")[1]
    directory.mkdir()
    for start in range(0, n_rows, SHARD_ROWS):
        ids = range(start, min(start + SHARD_ROWS, n_rows))
        table = pa.table({"id": list(ids), "text": [f"{texts[at % len(texts)]} {at}" for at in ids]})
        parquet.write_table(table, directory / f"{start:09d}.parquet")


def _require_equal(loop_out: Path, out: Path) -> None:
    """Raise AssertionError if an engine has other votes than the loop."""
    for path in sorted(out.glob("*.parquet")):
        expected = parquet.read_table(loop_out / path.name).to_pandas().to_numpy()
        found = parquet.read_table(path).to_pandas()
        names = [name for name in found.columns if name.startswith("vote ")]
        votes = np.stack([found[name].map({"ham": 0, "spam": 1}).fillna(-1) for name in names], axis=1)
        if sorted(votes.sum(axis=0)) != sorted(expected.sum(axis=0)):
            raise AssertionError(f"the votes of {path} differ from those of the loop")


def _sentence(name: str, n_rows: int, cost: Cost) -> str:
    return (
        f"apply, {name}, {n_rows:,} rows: {cost.cpu_s:.1f} CPU s, {n_rows / cost.wall_s:,.0f} rows/s with the start, "
        f"{cost.peak_mb:.0f} MB at the peak (load {os.getloadavg()[0]:.1f})"
    )


def _cost(command: Sequence[str]) -> Cost:
    """Run a command to its end."""
    began = time.perf_counter()
    process: subprocess.Popen[Any] = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.2)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(wall_s=time.perf_counter() - began, cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=peak / 1e6)
