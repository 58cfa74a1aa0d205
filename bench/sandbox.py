"""Compares recorded programs in the sandbox with a plain loop and with Snorkel's applier, on the same rows.

The votes must be equal. CPU time is reliable on a busy machine; wall time, and with it the gain of a second worker,
needs an idle one.
"""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from snorkel.labeling import LabelingFunction
from snorkel.labeling.apply.core import LFApplier

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.core.types import Split
from alchemist_exp.programs.extract import extract_source
from alchemist_exp.sandbox.base import ProgramRun, Sandbox
from bench._experiment import build_experiment
from bench.timing import best_of, cpu_seconds, peak_mb

REPEATS = 12
REPEATS_FILLING_A_CHUNK = {"youtube": 63, "sms": 21}  # nearly sandbox.chunk_rows rows
ROUNDS = 3
MEMORY_ROWS = (10_000, 100_000)
LIGHT = "def label_function(text):\n    return 1 if 'free' in text else 0\n"


def _sandbox(*overrides: str) -> Sandbox:
    return build_experiment("sandbox.determinism_rows=0", *overrides).sandbox


def sources_and_texts(dataset: str) -> tuple[list[str], list[str]]:
    """Return ten recorded programs of a packaged dataset and the texts of its train split.

    Args:
        dataset: The dataset's name.

    Returns:
        The sources of the programs, and the texts.
    """
    experiment = build_experiment(f"dataset={dataset}")
    data = experiment.dataset.load()
    system, prompt = experiment.prompt.program_system, experiment.prompt.program_request(data.task)
    requests = [experiment.llm.request(system, prompt, sample=i) for i in range(10)]

    async def responses() -> list[str]:
        """Return the text of each recorded response."""
        async with experiment.llm.connect() as client:
            return [(await client.complete(request)).text for request in requests]

    sources = [source for text in asyncio.run(responses()) if (source := extract_source(text))]
    return sources, list(data.texts(Split.TRAIN))


def _sandboxes() -> dict[str, Sandbox]:
    sandboxes = {
        "zygote": _sandbox("sandbox.workers=1"),
        "spawn": _sandbox("sandbox.workers=1", "sandbox.zygote=false"),
        "bwrap": _sandbox("sandbox=bwrap", "sandbox.workers=1"),
    }
    try:
        sandboxes["bwrap"].check()
    except SandboxError:
        del sandboxes["bwrap"]
    return sandboxes


def compare() -> Iterator[tuple[str, float, str, float]]:
    """Yield comparisons of ten programs, on repeated YouTube comments so that start-up counts as on 19,000 rows.

    Yields:
        What was measured, seconds, the peer, and the peer's seconds.
    """
    sources, few = sources_and_texts("youtube")
    texts = _repeated(few, REPEATS)
    functions = functions_of(sources)
    expected = [[function(text) for text in texts] for function in functions]

    def run(sandbox: Sandbox) -> Callable[[], list[ProgramRun]]:
        return lambda: sandbox.execute(sources, texts, 2)

    sandboxes = _sandboxes()
    for name, sandbox in sandboxes.items():
        if not all(np.array_equal(r.votes, v) for r, v in zip(run(sandbox)(), expected, strict=True)):
            raise AssertionError(f"the votes of {name} differ")
    runs: dict[str, Callable[[], object]] = {name: run(sandbox) for name, sandbox in sandboxes.items()}
    runs["loop"] = lambda: [[function(text) for text in texts] for function in functions]
    applier = LFApplier([LabelingFunction(str(at), function) for at, function in enumerate(functions)])
    runs["snorkel"] = lambda: applier.apply(texts, progress_bar=False)
    best = best_of(ROUNDS, runs, cpu_seconds)
    for name in sandboxes:
        for peer, description in (
            ("loop", "loop in process, no sandbox"),
            ("snorkel", "Snorkel LFApplier, no sandbox"),
        ):
            yield f"ten programs, {len(texts):,} rows, {name}, CPU", best[name], description, best[peer]
    for dataset, times in REPEATS_FILLING_A_CHUNK.items():
        yield _against_loop(dataset, *sources_and_texts(dataset), times, sandboxes["zygote"])
    sms_sources, sms = sources_and_texts("sms")
    reviews = [" ".join(sms[at : at + 8]) for at in range(0, len(sms) - 7, 8)]
    yield _against_loop("sms, eight in one", sms_sources, reviews, REPEATS, sandboxes["zygote"])
    wall = best_of(ROUNDS, {"one": runs["zygote"], "two": run(_sandbox("sandbox.workers=2"))})
    load = os.getloadavg()[0]
    yield f"{len(texts):,} rows, two workers, wall (load {load:.1f})", wall["two"], "one worker", wall["one"]


def _repeated(texts: list[str], times: int) -> list[str]:
    """Return the texts several times; as in a dataset, no two are the same object."""
    return [f"{text} {time}" for time in range(times) for text in texts]


def _against_loop(
    name: str, sources: list[str], few: list[str], times: int, zygote: Sandbox
) -> tuple[str, float, str, float]:
    """Return one comparison on a dataset's ten programs, with so many rows that start-up hardly counts."""
    texts = _repeated(few, times)
    functions = functions_of(sources)
    runs: dict[str, Callable[[], object]] = {
        "zygote": lambda: zygote.execute(sources, texts, 2),
        "loop": lambda: [[function(text) for text in texts] for function in functions],
    }
    best = best_of(ROUNDS, runs, cpu_seconds)
    length = sum(map(len, texts)) // len(texts)
    what = f"{name}, {len(texts):,} rows of {length} characters, zygote, CPU"
    return what, best["zygote"], "loop in process, no sandbox", best["loop"]


def measure(rows: list[int] | None) -> Iterator[str]:
    """Yield the start-up time per program, and the peak memory of all processes by number of rows.

    Args:
        rows: Numbers of rows for the memory; MEMORY_ROWS if None.

    Yields:
        One sentence per measurement.
    """
    for name, sandbox in _sandboxes().items():
        yield f"start-up, {name}: {_startup_ms(sandbox):.1f} ms a program"
    for count in rows or MEMORY_ROWS:
        command = [sys.executable, "-c", f"from bench.sandbox import hold; hold({count})"]
        with subprocess.Popen(command) as process:
            peak = peak_mb(process)
        yield f"memory, two programs, two workers, {count:,} short texts: {peak:.0f} MB at the peak"


def hold(rows: int) -> None:
    """Make short texts and label them, in the process that `measure` watches.

    Args:
        rows: Number of texts.
    """
    words = ("check", "channel", "love", "song", "free", "best", "video", "ever")
    rng = random.Random(0)
    texts = [f"{row} {rng.choice(words)} {rng.choice(words)} {rng.choice(words)}" for row in range(rows)]
    _sandbox("sandbox.workers=2").execute([LIGHT] * 2, texts, 2)


def _startup_ms(sandbox: Sandbox) -> float:
    """Return the wall time in milliseconds that one more program costs."""
    few, many = 1, 21
    best = best_of(ROUNDS, {str(n): lambda n=n: sandbox.execute([LIGHT] * n, ["text"], 2) for n in (few, many)})  # type: ignore[misc]
    return (best[str(many)] - best[str(few)]) / (many - few) * 1000


def functions_of(sources: list[str]) -> list[Callable[[str], int]]:
    """Return the functions of recorded programs, which are trusted, so that they can run in this process.

    Args:
        sources: The sources of the programs.

    Returns:
        One function per program.
    """
    functions = []
    for source in sources:
        scope: dict[str, Any] = {}
        exec(source, scope)
        functions.append(scope["label_function"])
    return functions
