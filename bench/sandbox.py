"""Recorded programs in the sandbox against a plain loop in this process, in CPU time; votes must be equal."""

from collections.abc import Iterator

import numpy as np
from hydra import compose, initialize_config_dir

from alchemist_exp import config
from alchemist_exp.core.values import Split
from alchemist_exp.programs.extract import extract_source
from alchemist_exp.prompts import programs
from bench.timing import best_of, cpu_seconds

REPEATS = 5


def compare() -> Iterator[tuple[str, float, str, float]]:
    """Ten programs over the YouTube comments, repeated, so that start-up weighs as it does on 8,000 rows."""
    config.register()
    with initialize_config_dir(config_dir=config.folder(), version_base="1.3"):
        experiment = config.build(compose("config", overrides=["sandbox.workers=1"]))
    data = experiment.dataset.load()
    prompt = programs.program_prompt(data.task)
    replies = [experiment.llm.complete(experiment.llm.request(programs.SYSTEM, prompt, sample=i)) for i in range(10)]
    sources = [source for reply in replies if (source := extract_source(reply.text))]
    texts = data.texts(Split.TRAIN) * REPEATS
    runs = experiment.sandbox.execute(sources, texts, 2)
    if not all(np.array_equal(run.votes, votes) for run, votes in zip(runs, _in_process(sources, texts), strict=True)):
        raise AssertionError("the votes differ")
    contestants = {
        "ours": lambda: experiment.sandbox.execute(sources, texts, 2),
        "peer": lambda: _in_process(sources, texts),
    }
    best = best_of(3, contestants, cpu_seconds)
    yield f"ten programs, {len(texts):,} rows, CPU", best["ours"], "loop in process, no sandbox", best["peer"]


def _in_process(sources: list[str], texts: list[str]) -> list[list[int]]:
    """The votes of recorded, hence trusted, programs without any sandbox."""
    votes = []
    for source in sources:
        scope: dict[str, object] = {}
        exec(source, scope)
        function = scope["label_function"]
        votes.append([function(text) for text in texts])
    return votes
