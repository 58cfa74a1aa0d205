"""A Slurm of one node with accounting for tests; scripts/start_slurm.sh explains it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

SCRIPT = str(REPOSITORY / "scripts" / "start_slurm.sh")
TIMEOUT_S = 150
MAX_ARRAY_SIZE = 4
"""Arrays have at most three jobs, so that a small sweep needs several."""


@contextmanager
def slurm_node(home: Path) -> Iterator[Path]:
    """Start a Slurm, or skip the test where that is not possible; stop it at the end.

    Args:
        home: An empty directory for its files.

    Yields:
        Its configuration, the value of SLURM_CONF.

    """
    if shutil.which("sbatch") is None:
        pytest.skip("sbatch is not installed (scripts/start_slurm.sh installs it)")
    if os.geteuid() != 0:
        pytest.skip("Slurm is started as root")
    environment = {**os.environ, "SLURM_HOME": str(home), "SLURM_CPUS": "6"}
    environment["SLURM_MAX_ARRAY_SIZE"] = str(MAX_ARRAY_SIZE)
    environment["SLURM_PORT"] = str(20000 + os.getpid() % 3000 * 3)
    started = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    try:
        if started.returncode:
            pytest.skip(f"Slurm cannot be started: {started.stderr.strip()}")
        yield home / "slurm.conf"
    finally:
        subprocess.run([SCRIPT, "stop"], env=environment, check=True, timeout=TIMEOUT_S)
