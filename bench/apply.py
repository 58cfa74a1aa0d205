"""Compares `alchemist apply` by its engines with a plain Python loop and with Snorkel's appliers on the same files.

CPU time is that of all processes with their start, and is reliable on a busy machine; wall time and the gain of a
second worker need an idle one. The rows are comments of the packaged YouTube data with a number, the programs are the
ten recorded ones. The sums of the votes of each program must be equal. `--rows 10000 100000 1000000` chooses the sizes.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from bench.sandbox import sources_and_texts
from bench.timing import memory_of

ROWS = (10_000, 100_000)
FILE_ROWS = 25_000
CLI = [sys.executable, "-c", "from alchemist_exp.cli.main import main; main()"]
ENGINES = {
    "apply, local": ["--engine", "local"],
    "apply, dask, 1 worker": ["--engine", "dask", "--workers", "1"],
    "apply, dask, 2 workers": ["--engine", "dask", "--workers", "2"],
}
LOOP = "plain loop, no sandbox"
PEERS = {
    LOOP: "loop",
    "Snorkel PandasLFApplier": "snorkel_pandas",
    # It fails with dask 2026.8 and pandas 3.
    "Snorkel DaskLFApplier, 2 processes": "snorkel_dask",
    "  the same, fault_tolerant=True": "snorkel_dask_tolerant",
}
MAX_SNORKEL_ROWS = 1_000_000
"""Snorkel's appliers need 2.5 KB of memory for a row; they are left out for more rows."""

HEADER = (
    f"{'rows':>10}  {'':34} {'CPU s':>8} {'rows/CPU s':>11} {'loop = 1':>11} {'peak MB':>8} {'wall s':>8} {'load':>5}"
)


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


def measure(rows: Sequence[int] | None) -> Iterator[str]:
    """Yield the lines of a table: CPU time, rows per CPU second and peak memory of each engine and each peer.

    Args:
        rows: Numbers of rows; ROWS if None.

    Yields:
        A line per measurement.

    """
    sources, texts = sources_and_texts("youtube")
    yield HEADER
    with TemporaryDirectory() as name:
        root = Path(name)
        (root / "sources.json").write_text(json.dumps(sources), encoding="utf-8")
        run = _make_run(root / "outputs")
        for count in rows or ROWS:
            inputs = root / f"inputs{count}"
            _write_inputs(inputs, texts, count)
            loop: Cost | None = None
            expected: list[int] = []
            for label, function in PEERS.items():
                if label != LOOP and count > MAX_SNORKEL_ROWS:
                    continue
                answer = root / "answer.json"
                arguments = [function, str(root / "sources.json"), str(inputs), str(answer)]
                cost = _cost([sys.executable, "-m", "bench._apply_peers", *arguments])
                found = json.loads(answer.read_text(encoding="utf-8"))
                if "error" in found:
                    yield f"{count:>10,}  {label:34} fails: {found['error']}"
                    continue
                loop = loop or cost
                expected = expected or found["sums"]
                _require_equal(label, found["sums"], expected)
                yield _line(label, count, cost, loop)
            for label, options in ENGINES.items():
                out = root / f"{count} {label}"
                command = [*CLI, "apply", str(run), f"{inputs}/*.parquet", "-o", str(out), "--keep", "id"]
                cost = _cost([*command, "--with", "programs", *options])
                _require_equal(label, _sums_of(out), expected)
                yield _line(label, count, cost, loop or cost)


def _make_run(outputs: Path) -> Path:
    """Return the directory of a run with the ten recorded programs."""
    overrides = ["dataset=youtube", "dataset.limit=100", "label_model=majority", "end_model=none", "logger=none"]
    subprocess.run([*CLI, "run", *overrides, f"paths.outputs={outputs}"], check=True, stdout=subprocess.DEVNULL)
    (record,) = (outputs / "runs").glob("*/record.json")
    return record.parent


def _write_inputs(directory: Path, texts: Sequence[str], n_rows: int) -> None:
    """Write rows to two or more Parquet files."""
    directory.mkdir()
    size = min(FILE_ROWS, (n_rows + 1) // 2)
    for start in range(0, n_rows, size):
        ids = range(start, min(start + size, n_rows))
        table = pa.table({"id": list(ids), "text": [f"{texts[at % len(texts)]} {at}" for at in ids]})
        parquet.write_table(table, directory / f"{start:09d}.parquet")


def _sums_of(out: Path) -> list[int]:
    """Return the sum of the votes of each program in the outputs of a command; abstaining is -1."""
    sums: Counter[str] = Counter()
    for path in sorted(out.glob("*.parquet")):
        table = parquet.read_table(path)
        for name in table.column_names:
            if name.startswith("vote "):
                counts = {one["values"]: one["counts"] for one in table[name].value_counts().to_pylist()}
                sums[name] += counts.get("spam", 0) - counts.get(None, 0)
    return list(sums.values())


def _require_equal(label: str, found: Sequence[int], expected: Sequence[int]) -> None:
    """Raise AssertionError if a peer or an engine has other votes than the loop."""
    if sorted(found) != sorted(expected):
        raise AssertionError(f"the votes of {label} differ from those of the loop")


def _line(label: str, n_rows: int, cost: Cost, loop: Cost) -> str:
    return (
        f"{n_rows:>10,}  {label:34} {cost.cpu_s:>8.1f} {n_rows / cost.cpu_s:>11,.0f} {loop.cpu_s / cost.cpu_s:>11.2f} "
        f"{cost.peak_mb:>8,.0f} {cost.wall_s:>8.1f} {os.getloadavg()[0]:>5.1f}"
    )


def _cost(command: Sequence[str]) -> Cost:
    """Run a command to its end."""
    began = time.perf_counter()
    process: subprocess.Popen[Any] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
