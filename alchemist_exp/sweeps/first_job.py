"""A job of Slurm that runs a command, and jobs that start after it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alchemist_exp.core.overrides import override
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.cluster_settings import SlurmSettings
from alchemist_exp.sweeps.submissions import DIRECTORY

NAME: Final = "alchemist-ask"


def submit_command(command: Sequence[str], settings: SlurmSettings, outputs: Path) -> str:
    """Submit a job that runs a command in the current directory.

    Args:
        command: The command and its arguments.
        settings: The resources of a job of the sweep; this one gets no GPU.
        outputs: The directory of outputs, which gets the output of the command in its subdirectory of sweeps.

    Returns:
        The number of the job.

    Raises:
        SlurmError: Slurm refuses the job.

    """
    directory = outputs / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    names = ("partition", "account", "qos", "cpus", "memory_gb", "time_min")
    options = slurm.sbatch_options(**{name: getattr(settings, name) for name in names}, gpus=None)
    script = "\n".join([*settings.setup, shlex.join(command)])
    log = f"--output={directory / NAME}-%j.log"
    raw = slurm.run(["sbatch", "--parsable", f"--job-name={NAME}", log, *options, "--wrap", script])
    return raw.strip().partition(";")[0]


def wait_for_job(job_id: str, settings: SlurmSettings) -> str:
    """Return the override with which jobs start when another one has ended well, and are cancelled when it has failed.

    Args:
        job_id: The number of the other job.
        settings: The resources of a job, with options that are kept.

    """
    options = {**(settings.options or {}), "dependency": f"afterok:{job_id}", "kill-on-invalid-dep": "yes"}
    return override("hydra.launcher.options", options)
