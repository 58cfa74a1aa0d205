"""A Slurm of one node with accounting, which all processes of the tests share; scripts/start_slurm.sh explains it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY
from tests.support.remembered_groups import DIRECTORY_VARIABLE

SCRIPT = str(REPOSITORY / "scripts" / "start_slurm.sh")
TIMEOUT_S = 150
MAX_ARRAY_SIZE = 4
"""Arrays have at most three jobs, so that a small sweep needs several."""


def start_slurm() -> Path:
    """Start the Slurm if no other process of the tests has, or skip the test where that is not possible.

    Returns:
        Its configuration, the value of SLURM_CONF.

    """
    if shutil.which("sbatch") is None:
        pytest.skip("sbatch is not installed (scripts/start_slurm.sh installs it)")
    if os.geteuid() != 0:
        pytest.skip("Slurm is started as root")
    started = subprocess.run([SCRIPT], env=_environment(), capture_output=True, text=True, timeout=TIMEOUT_S)
    if started.returncode:
        pytest.skip(f"Slurm cannot be started: {started.stderr.strip()}")
    return _home() / "slurm.conf"


def stop_slurm() -> None:
    """Stop the Slurm if a process of the tests has started it."""
    if _home().exists():
        subprocess.run([SCRIPT, "stop"], env=_environment(), check=True, timeout=TIMEOUT_S)


def _home() -> Path:
    return Path(os.environ[DIRECTORY_VARIABLE], "slurm")


def _environment() -> Mapping[str, str]:
    return {
        **os.environ,
        "SLURM_HOME": str(_home()),
        "SLURM_CPUS": "8",
        "SLURM_MAX_ARRAY_SIZE": str(MAX_ARRAY_SIZE),
        # The number in the name of the directory that the processes share.
        "SLURM_PORT": str(20000 + int(_home().parent.name[-6:].encode().hex(), 16) % 3000 * 3),
    }
