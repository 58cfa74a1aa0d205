"""Commands of Slurm: checks before jobs are queued, and the state of queued jobs."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.terminal import single_line

_TIMEOUT_S: Final = 60.0

_ACTIVE: Final = frozenset(
    (
        *("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"),
        *("RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SPECIAL_EXIT", "RESV_DEL_HOLD"),
    )
)
"""States of a job that may still run."""


class SlurmError(AlchemistError):
    """A command of Slurm is missing or has failed."""


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """What Slurm says of one job or one task of an array.

    Attributes:
        job_id: The number of the job; for a task of an array NUMBER_INDEX.
        state: A state such as PENDING, RUNNING, CANCELLED or TIMEOUT.
        reason: Why a pending job does not run; "" where Slurm gives no reason.

    """

    job_id: str
    state: str
    reason: str = ""

    @property
    def active(self) -> bool:
        """Whether the job is waiting or running."""
        return self.state in _ACTIVE

    @property
    def index(self) -> int:
        """The index in the array; 0 for a job that is not in an array."""
        return int(self.job_id.partition("_")[2] or 0)


def is_available() -> bool:
    """Return whether this machine has the commands of Slurm."""
    return shutil.which("squeue") is not None


def run(command: Sequence[str]) -> str:
    """Run a command of Slurm.

    Args:
        command: The command and its arguments.

    Returns:
        Its standard output.

    Raises:
        SlurmError: The command is missing, has failed or does not end within 60 s.

    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SACCT_"))}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=environment, errors="replace"
        )
    except FileNotFoundError:
        raise SlurmError(f"the command {command[0]} is missing; this is not a machine that submits to Slurm.") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} has not ended within {_TIMEOUT_S:.0f} s; is the Slurm controller up?") from None
    if done.returncode:
        # The last messages say why; each has the name of the command as a prefix.
        lines = [line for line in map(str.strip, done.stderr.splitlines()) if line]
        texts = [re.sub(r"^\w+: (error: |fatal: )?", "", line) for line in lines]
        reason = single_line("; ".join(dict.fromkeys(texts[-2:]))).rstrip(".") or "it has failed without a message"
        raise SlurmError(f"{command[0]}: {reason}.")
    return done.stdout


def check(sbatch_options: Sequence[str]) -> None:
    """Check that jobs can be queued and their ends can be seen.

    Args:
        sbatch_options: The resources of the jobs, as options of sbatch.

    Raises:
        SlurmError: A command is missing, accounting is off, or Slurm refuses the resources.

    """
    for name in ("sbatch", "squeue", "sacct", "scontrol"):
        if shutil.which(name) is None:
            raise SlurmError(f"the command {name} is missing; this is not a machine that submits to Slurm.")
    try:
        run(["sacct", "-n", "-X", "-S", "now"])
    except SlurmError as error:
        raise SlurmError(
            f"sacct gives no answer, and without it the end of a cancelled or killed job cannot be seen: {error}"
        ) from error
    try:
        run(["sbatch", "--test-only", *sbatch_options, "--wrap", "true"])
    except SlurmError as error:
        raise SlurmError(
            f"Slurm refuses these jobs; change hydra.launcher.partition, account, qos, cpus, memory_gb, time_min or "
            f"gpus ({error})"
        ) from error


def max_array_size() -> int:
    """Return the configured MaxArraySize: every index of an array is smaller.

    Raises:
        SlurmError: Slurm does not say it.

    """
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", run(["scontrol", "show", "config"]), re.MULTILINE)
    if found is None:
        raise SlurmError("scontrol show config names no MaxArraySize.")
    return int(found[1])


def find_jobs(names: Iterable[str], *, since: str, ended: bool = True) -> Mapping[str, list[QueuedJob]]:
    """Return the state of jobs by their names.

    Args:
        names: The names of jobs or arrays; each was given to one sbatch.
        since: The time from which ended jobs are looked for, in ISO 8601 without a time zone.
        ended: Whether sacct is asked for jobs that have ended.

    Returns:
        The jobs of each name, one for each task of an array. A name that Slurm does not know has none.

    Raises:
        SlurmError: A command has failed, so nothing is known.

    """
    found: dict[str, dict[int, QueuedJob]] = {name: {} for name in names}
    if not found:
        return {}
    wanted, user = f"--name={','.join(found)}", str(os.geteuid())
    if ended:
        options = ["-n", "-X", "-P", "-S", since, "-u", user, wanted]
        _add(found, run(["sacct", *options, "-o", "JobName,JobID,State"]))
    # The controller is the newer source. It also knows jobs that accounting has not received yet.
    _add(found, run(["squeue", "-h", "-r", "--states=all", "-u", user, wanted, "-o", "%j|%i|%T|%r"]))
    return {name: [*jobs.values()] for name, jobs in found.items()}


def _add(found: Mapping[str, dict[int, QueuedJob]], output: str) -> None:
    """Add the jobs in the lines NAME|ID|STATE or NAME|ID|STATE|REASON of an output."""
    for line in output.splitlines():
        name, job_id, state, *reason = line.strip().split("|")
        parsed = re.fullmatch(r"(\d+)(?:_(\d+)|_\[([\d,-]+)(?:%\d+)?\])?", job_id)
        if name not in found or parsed is None:
            continue  # a step
        text = reason[0] if reason and reason[0] != "None" else ""
        number, index, rest = parsed.groups()
        indices = [index]
        if rest:  # ranges such as "0-2,5", by which sacct shows tasks of an array that have not begun
            ranges = [part.partition("-") for part in rest.split(",")]
            indices = [str(i) for first, _, last in ranges for i in range(int(first), int(last or first) + 1)]
        for one in indices:
            # The state may be "CANCELLED by 1000".
            job = QueuedJob(job_id=number if one is None else f"{number}_{one}", state=state.split()[0], reason=text)
            found[name][job.index] = job


def cancel(job_ids: Sequence[str]) -> None:
    """End jobs, also those that are running.

    Args:
        job_ids: Numbers of jobs or of arrays.

    Raises:
        SlurmError: scancel has failed.

    """
    if job_ids:
        run(["scancel", *job_ids])


def sbatch_options(
    *,
    partition: str | None,
    account: str | None,
    qos: str | None,
    cpus: int,
    memory_gb: float | None,
    time_min: int,
    gpus: int | None,
) -> list[str]:
    """Return the options of sbatch for the resources of one job.

    Args:
        partition: The partition; None for the default one.
        account: The account that is charged; None for the default one.
        qos: The quality of service; None for the default one.
        cpus: Cores of one job.
        memory_gb: Memory of one job in GB; None for the default of the partition.
        time_min: Time limit of one job in minutes.
        gpus: GPUs of one job; None or 0 for none.

    Raises:
        ConfigError: A number is not positive.

    """
    for name, value in (("cpus", cpus), ("time_min", time_min), ("memory_gb", memory_gb)):
        if value is not None and value <= 0:
            raise ConfigError(f"hydra.launcher.{name} is {value}; expected more than 0.")
    memory = None if memory_gb is None else f"{round(memory_gb * 1024)}M"
    options = {"partition": partition, "account": account, "qos": qos, "cpus-per-task": cpus, "mem": memory}
    options |= {"time": time_min, "gpus-per-node": gpus or None, "ntasks": 1}
    return [f"--{name}={value}" for name, value in options.items() if value is not None]
