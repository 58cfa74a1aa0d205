"""What a run was made with: commit, packages and machine. What cannot be determined is None."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "alchemist-exp", "datasets", "hydra-core", "numpy", "omegaconf", "pytorch-lightning", "scikit-learn", "snorkel",
    "torch", "transformers", "wandb",
)  # fmt: skip
"""The packages whose versions can alter a number."""


def git_state() -> dict[str, Any]:
    """Return the commit of this checkout and whether it has changes; both None for an installed package."""
    top = Path(__file__).parents[2]
    if not (top / ".git").exists():
        return {"commit": None, "dirty": None}
    commit, changes = _git(top, "rev-parse", "HEAD"), _git(top, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit or None, "dirty": None if changes is None else bool(changes)}


def _git(top: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=top, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def package_versions() -> dict[str, str | None]:
    """Return the installed versions of `PACKAGES` and of Python; None for what is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def host(accelerator: str) -> dict[str, Any]:
    """Describe the machine of a run.

    Args:
        accelerator: The device that the end model was trained on: "cpu" or "cuda".

    Returns:
        `cpus` that this process may use, `accelerator`, and `machine` (the processor's architecture).

    """
    return {"cpus": len(os.sched_getaffinity(0)), "accelerator": accelerator, "machine": platform.machine()}
