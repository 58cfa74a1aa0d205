"""Measures a whole run by the number of rows: the seconds of each stage, CPU seconds and peak memory.

The rows are YouTube comments with some words replaced; ten recorded programs label them, and all other settings are the
defaults. The stage of the votes is compared with a plain loop and with Snorkel's applier for pandas on the same rows.
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from snorkel.labeling import LabelingFunction, PandasLFApplier

from alchemist_exp.core.types import Split
from bench._experiment import build_experiment
from bench.sandbox import functions_of, sources_and_texts
from bench.timing import best_of, cpu_seconds, peak_mb

ROWS = (10_000, 100_000)
COMPARED_ROWS = 10_000
ROUNDS = 2


def make_rows(n_rows: int) -> tuple[list[str], list[int]]:
    """Return comments of the train split of youtube with an eighth of the words replaced, no two of them equal.

    Args:
        n_rows: How many.

    Returns:
        The texts, and the labels of the comments that they are made from.
    """
    data = build_experiment("dataset=youtube").dataset.load()
    comments, gold = data.texts(Split.TRAIN), data.gold(Split.TRAIN)
    if gold is None:
        raise ValueError("train of youtube has no labels")
    rng = random.Random(n_rows)
    words = [word for comment in comments for word in comment.split()]
    texts, labels = [], []
    for number in range(n_rows):
        row = rng.randrange(len(comments))
        text = comments[row].split()
        for _ in range(max(1, len(text) // 8)):
            text[rng.randrange(len(text))] = rng.choice(words)
        texts.append(f"{' '.join(text)} {rng.choice(words)} {number}")
        labels.append(int(gold[row]))
    return texts, labels


def compare() -> Iterator[tuple[str, float, str, float]]:
    """Yield comparisons of the votes of ten programs.

    Yields:
        What was measured, seconds, the peer, and the peer's seconds.
    """
    sources, _ = sources_and_texts("youtube")
    texts, _ = make_rows(COMPARED_ROWS)
    functions = functions_of(sources)
    frame = pd.DataFrame({"text": texts})
    applier = PandasLFApplier(
        [LabelingFunction(str(at), lambda row, f=function: f(row.text)) for at, function in enumerate(functions)]
    )
    sandbox = build_experiment().sandbox
    best = best_of(
        ROUNDS,
        {
            "ours": lambda: sandbox.execute(sources, texts, 2),
            "loop": lambda: [[function(text) for text in texts] for function in functions],
            "snorkel": lambda: applier.apply(frame, progress_bar=False),
        },
        cpu_seconds,
    )
    what = f"votes of ten programs, {COMPARED_ROWS:,} rows, CPU"
    yield what, best["ours"], "loop in process, no sandbox", best["loop"]
    yield what, best["ours"], "Snorkel PandasLFApplier, no sandbox", best["snorkel"]


def measure(rows: list[int] | None) -> Iterator[str]:
    """Yield the seconds of each stage and the peak memory of all processes of a run, by number of rows.

    Args:
        rows: Numbers of rows; ROWS if None.

    Yields:
        One sentence per number of rows.
    """
    sources, _ = sources_and_texts("youtube")
    for n_rows in rows or ROWS:
        with TemporaryDirectory(prefix="bench-rows-") as temporary:
            root = Path(temporary)
            _write(root, n_rows, sources)
            before = cpu_seconds()
            with subprocess.Popen(_command(root), stdout=subprocess.DEVNULL) as process:
                peak = peak_mb(process)
            if process.returncode:
                raise RuntimeError(f"the run on {n_rows:,} rows ended with exit code {process.returncode}")
            [record] = (root / "outputs" / "runs").glob("*/record.json")
            seconds = json.loads(record.read_text(encoding="utf-8"))["seconds"]
        total = seconds.pop("total")
        stages = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        yield (
            f"{n_rows:,} rows: {total:.0f} s ({stages}), {cpu_seconds() - before:.0f} s of CPU, {peak:,.0f} MB at the "
            "peak"
        )


def _write(root: Path, n_rows: int, sources: list[str]) -> None:
    """Write the splits as Parquet files, valid and test as they are, and the programs."""
    data = build_experiment("dataset=youtube").dataset.load()
    texts, labels = make_rows(n_rows)
    (root / "rows").mkdir()
    (root / "programs").mkdir()
    pd.DataFrame({"text": texts, "label": labels}).to_parquet(root / "rows" / "train.parquet", index=False)
    for split in (Split.VALID, Split.TEST):
        frame = pd.DataFrame({"text": data.texts(split), "label": data.gold(split)})
        frame.to_parquet(root / "rows" / f"{split}.parquet", index=False)
    for number, source in enumerate(sources):
        (root / "programs" / f"program_{number:02}.py").write_text(source, encoding="utf-8")


def _command(root: Path) -> list[str]:
    return [
        sys.executable,
        "-c",
        "import sys; from alchemist_exp.cli.main import main; sys.exit(main())",
        "run",
        "dataset=files",
        f"dataset.path={root / 'rows'}",
        "dataset.classes=[ham,spam]",
        "dataset.prompt='Label comments as ham or spam.'",
        "method=program_files",
        f"method.path={root / 'programs'}",
        f"paths.outputs={root / 'outputs'}",
    ]
