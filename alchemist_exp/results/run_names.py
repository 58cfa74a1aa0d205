"""The names of runs and of their datasets in lists and tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SYNTHETIC = frozenset({"toy_birds"})
"""Datasets that are drawn by a program; each heading says so."""

_ANY_DATA = ("files", "hub")
"""Members that are of any data; their path names the data."""

_USUAL = {"llm": "recorded", "supplement": "none", "feature_extractor": "combined", "gold": "valid"}
"""Members that a run's name leaves out: those of the default configuration."""


def run_name(members: Mapping[str, Any]) -> str:
    """Return the name of a run in a list of runs: its members, without the usual ones and those it does not use.

    Args:
        members: A row of `RunIndex.runs`, or `members_of` a record.

    Returns:
        A text such as "youtube · alchemist · snorkel · seed s0".

    """
    used = {group: value for group, value in members.items() if isinstance(value, str)}
    parts = [dataset_name(members)]
    shown = ("method", "llm", "supplement", "label_model", "feature_extractor")
    parts += [used[group] for group in shown if group in used and used[group] != _USUAL.get(group)]
    parts += [f"{group} {used[group]}" for group in ("seed", "gold") if used.get(group) != _USUAL.get(group)]
    if used.get("selection") == "random":
        parts.append(f"n={members['config.selection.n']}, draw {members['config.selection.seed']}")
    return " · ".join(parts)


def dataset_name(members: Mapping[str, Any]) -> str:
    """Return the name of a run's dataset in a list of runs.

    Args:
        members: As for `run_name`.

    Returns:
        The member; with the last part of the path for members that are of any data, as in "files tickets.csv".

    """
    dataset, path = str(members["dataset"]), members.get("config.dataset.path")
    return f"{dataset} {Path(path).name}" if dataset in _ANY_DATA and isinstance(path, str) else dataset


def dataset_title(dataset: Mapping[str, Any]) -> str:
    """Return the name of a run's dataset in a title.

    Args:
        dataset: The configuration of the dataset.

    Returns:
        The name; the file's or directory's name for data of the user's own whose name was not set.

    """
    name, path = str(dataset.get("name", "")), dataset.get("path")
    return (Path(path).name if name in _ANY_DATA and isinstance(path, str) else "") or name


def dataset_label(dataset: str) -> str:
    """Return the name of a dataset in a table of results.

    Args:
        dataset: A member of the group `dataset`.

    Returns:
        A text such as "sms"; "toy_birds (synthetic)" for data that are drawn.

    """
    return f"{dataset} (synthetic)" if dataset in SYNTHETIC else dataset
