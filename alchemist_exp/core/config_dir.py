"""The directory of the built-in YAML files."""

from pathlib import Path


def config_dir() -> str:
    """Return the directory of the built-in YAML files: in an installed package, or next to it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "conf"
    return str(installed if installed.is_dir() else package.parent / "conf")
