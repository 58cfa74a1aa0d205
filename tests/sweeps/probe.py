"""Runs `alchemist run`, notes each model that is trained, and misbehaves as the variable PROBE says.

PROBE is a JSON object: `log`, the file with a line for each training that begins and one for each that ends; `kill_at`,
the number of the training at which the process is killed; `fail_seed`, the seed with which training fails; `sleep_s`,
how long a training waits; `interrupt_at`, the number of begun runs at which all processes are interrupted; `sweeps`,
how many processes run the command at the same time.
"""

import json
import os
import signal
import threading
import time
from pathlib import Path

from alchemist_exp.cli import run
from alchemist_exp.core import locks
from alchemist_exp.pipeline import run as pipeline

probe = json.loads(os.environ["PROBE"])
log, distil, begun = Path(probe["log"]), pipeline.distil, 0


def note(word, experiment) -> None:
    with log.open("a") as file:
        file.write(f"{word} {experiment.seed.name} {experiment.method.performance_hint}\n")


def noted(experiment, *arguments):
    global begun
    begun += 1
    note("begun", experiment)
    if begun == probe.get("kill_at"):
        os.kill(os.getpid(), signal.SIGKILL)
    if experiment.seed.name == probe.get("fail_seed"):
        raise RuntimeError("a planted error")
    time.sleep(probe.get("sleep_s", 0))
    model = distil(experiment, *arguments)
    note("ended", experiment)
    return model


pipeline.distil = noted
locks._LOG_AFTER_S = 0.1


def interrupt(n_begun: int) -> None:
    while len([*Path("outputs").glob("runs/*/record.json")]) < n_begun:
        time.sleep(0.05)
    os.killpg(0, signal.SIGINT)


if __name__ == "__main__":
    if "interrupt_at" in probe:
        threading.Thread(target=interrupt, args=[probe["interrupt_at"]], daemon=True).start()
    children = [pid for _ in range(probe.get("sweeps", 1) - 1) if (pid := os.fork())]
    try:
        run.main()
    finally:
        if any(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children):
            os._exit(9)
