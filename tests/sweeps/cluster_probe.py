"""Runs a command of alchemist whose jobs, in other processes, behave as the variable PROBE says.

PROBE is the path of a JSON object: `log`, the file with a line for each training that begins and one for each that
ends; `raise`, the seeds with which training fails; `sleep`, the seeds with which it does not end; `until`, a file that
every training waits for.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import hydra

from alchemist_exp import config
from alchemist_exp.cli import run

original = run.job.__wrapped__


@hydra.main(version_base="1.3", config_path=config.config_dir(), config_name="config")
def job(cfg):
    from alchemist_exp.pipeline import run as pipeline

    probe = json.loads(Path(os.environ["PROBE"]).read_text())
    distil = pipeline.distil

    def noted(experiment, *arguments):
        seed = experiment.seed.name

        def note(word: str) -> None:
            with Path(probe["log"]).open("a") as file:
                file.write(f"{word} {seed}\n")

        note("begun")
        if seed in probe.get("raise", []):
            raise RuntimeError("a planted error")
        while seed in probe.get("sleep", []) or not Path(probe.get("until", "/")).exists():
            time.sleep(0.1)
        model = distil(experiment, *arguments)
        note("ended")
        return model

    pipeline.distil = noted
    return original(cfg)


if __name__ == "__main__":
    run.job = job
    command = sys.argv.pop(1)
    sys.exit(importlib.import_module(f"alchemist_exp.cli.{command}").main())
