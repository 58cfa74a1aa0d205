"""The package into which the Python modules of `--config-dir DIR` are imported.

`DIR/label_model/mine.py` becomes the module `alchemist_exp.plugins.<key of DIR>.label_model.mine`, imported by Python's
own import system. The name depends on the path of DIR alone, so a process that a launcher starts can unpickle the
classes of the module: it finds the path in an environment variable.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

from alchemist_exp.core.hashing import key_of

DIRECTORY_VARIABLE = "ALCHEMIST_CONFIG_DIR"
"""The environment variable that passes the directory to child processes."""


def package_of(directory: Path) -> str:
    """Return the name of the package whose modules are in `directory`; the package is made on the first call.

    Args:
        directory: An absolute path.

    Returns:
        The name to import modules under: `<name>.label_model.mine` is `directory`/label_model/mine.py.

    """
    name = f"{__name__}.directory_{key_of('config_dir', directory)}"
    if name not in sys.modules:
        package = ModuleType(name, f"The modules of {directory}.")
        package.__path__ = [str(directory)]
        sys.modules[name] = package
    return name


def directory() -> Path | None:
    """Return the directory that --config-dir names, in this process or in the one that started it."""
    path = os.environ.get(DIRECTORY_VARIABLE)
    return Path(path) if path else None


if (_directory := directory()) is not None:
    package_of(_directory)
