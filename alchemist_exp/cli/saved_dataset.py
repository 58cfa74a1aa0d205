"""The dataset of `alchemist label --save`, as a member of the group `dataset`."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import single_line

SAVED_TO = "my_conf"
"""The directory of `--save` without --config-dir."""


def member_file(chosen: argparse.Namespace) -> Path:
    """Return the file of the member to save.

    Args:
        chosen: The arguments of the command.

    Raises:
        ConfigError: The name cannot be that of a new member.

    """
    from alchemist_exp import config

    if not re.fullmatch(r"[A-Za-z][\w-]*", chosen.save, re.ASCII):
        raise ConfigError(f"--save {chosen.save!r} is not a name; use letters, digits, - and _.")
    if chosen.save in {path.stem for path in Path(config.config_dir(), "dataset").glob("*.yaml")}:
        raise ConfigError(f"--save {chosen.save} is the name of a dataset of the package; choose another one.")
    return Path(chosen.config_dir or SAVED_TO, "dataset", f"{chosen.save}.yaml")


def save_member(path: Path, chosen: argparse.Namespace, overrides: Sequence[str], config_dir: str | None) -> None:
    """Write the values of the dataset that differ from dataset=files to a member's file.

    Args:
        path: The file.
        chosen: The arguments of the command.
        overrides: The overrides of the run.
        config_dir: The directory of the user's own members; None without one.

    Raises:
        ConfigError: The file exists with other values.

    """
    import yaml
    from omegaconf import OmegaConf

    from alchemist_exp import config

    def values_of(overrides: Sequence[str]) -> Any:
        """Return the values of the dataset, references not resolved."""
        return OmegaConf.to_container(config.compose(overrides, config_dir)["dataset"], enum_to_str=True)

    usual, own = values_of(["dataset=files"]), values_of(overrides)
    values = {key: value for key, value in own.items() if usual.get(key) != value}
    values["path"] = str(Path(chosen.file).resolve())
    text = f"# {single_line(chosen.task)}\ndefaults:\n  - files\n  - _self_\n\n"
    text += yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=1000)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{path} exists with other values; choose another name for --save, or delete the file.")
    write_bytes(path, text.encode("utf-8"))
    print(f"wrote {path}")
