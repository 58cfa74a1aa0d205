"""The overrides of `alchemist run` that the arguments of `alchemist label` stand for, and the options in messages."""

import argparse
import csv
import re
import shlex
from collections.abc import Mapping

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.overrides import override

ARGUMENTS = {
    "dataset": "FILE",
    "dataset.path": "FILE",
    "dataset.text_column": "--text",
    "dataset.columns": "--text",
}
"""Keys that no override may change, because the table is made of what these arguments name."""

OPTIONS = {
    "dataset.text_column": "--text",
    "dataset.columns": "--text",
    "dataset.label_column": "--label",
    "dataset.classes": "--classes",
    "dataset.prompt": "--task",
    "method.path": "--programs",
    "llm.model": "--model",
    "budget.usd": "--budget",
}
"""The keys of `alchemist run` that have an option of this command."""


def with_options(text: str, options: Mapping[str, str]) -> str:
    r"""Return a message with the options of this command instead of keys of `alchemist run`.

    Args:
        text: The message.
        options: The option of each key.

    Example:
        >>> with_options("set 'dataset.classes=[ham,spam]'; dataset.label_column=null stays", OPTIONS)
        "set '--classes ham,spam'; dataset.label_column=null stays"

    """
    keys = "|".join(map(re.escape, options))
    if not keys:
        return text
    # An option takes a text: no brackets of a list, no quotes of the grammar, and no null.
    text = re.sub(rf"\"?\b({keys})='([^']*)'\"?", lambda m: f"{options[m[1]]} {shlex.quote(m[2])}", text)
    text = re.sub(rf"\b({keys})=\[([^\]]*)\]", lambda m: f"{options[m[1]]} {m[2].replace('...', 'A,B')}", text)
    return re.sub(rf"\b({keys})\b(?!=null|\.)(=)?", lambda m: options[m[1]] + (" " if m[2] else ""), text)


def run_overrides(chosen: argparse.Namespace, row_columns: list[str]) -> list[str]:
    """Return the overrides of `alchemist run` that the arguments stand for.

    Args:
        chosen: The arguments of the command.
        row_columns: The columns of the texts.

    Raises:
        ConfigError: Two arguments exclude each other, or one is missing.

    """
    for text in chosen.overrides:
        if "=" not in text and not text.startswith("~"):
            raise ConfigError(f"{text!r} is not KEY=VALUE; alchemist label reads one file, here {chosen.file!r}.")
    own = [text.lstrip("+").partition("=")[0] for text in chosen.overrides]
    if chosen.llm is None and chosen.programs is None and not {"llm", "method"} & {*own}:
        raise ConfigError(
            "nothing writes programs; choose an LLM, as in --llm openai, or name a directory of programs by --programs "
            "DIR."
        )
    if chosen.llm is not None and chosen.programs is not None:
        raise ConfigError("--llm and --programs exclude each other; programs from files need no LLM.")
    for key, option in ARGUMENTS.items():
        if key in own:
            raise ConfigError(f"{key} is given by {option} of alchemist label; leave out the override.")
    if chosen.programs is not None and "method" in own:
        raise ConfigError("--programs stands for method=program_files; leave out --programs or the override of method.")
    values: dict[str, object] = {
        "dataset": "files",
        "dataset.name": chosen.save,
        "dataset.path": chosen.file,
        "dataset.prompt": chosen.task,
        "dataset.classes": None if chosen.classes is None else listed_names(chosen.classes),
        "dataset.text_column": None if len(row_columns) > 1 or row_columns == ["text"] else row_columns[0],
        "dataset.columns": row_columns if len(row_columns) > 1 else None,
        "dataset.label_column": chosen.label,
        "llm": chosen.llm,
        "llm.model": chosen.model,
        "method": None if chosen.programs is None else "program_files",
        "method.path": chosen.programs,
        "budget.usd": chosen.budget,
    }
    return [*(override(key, value) for key, value in values.items() if value is not None), *chosen.overrides]


def listed_names(text: str) -> list[str]:
    """Return the names in a list with commas or in brackets; double quotes are around a name with a comma.

    Args:
        text: The list, as the user typed it.

    """
    from alchemist_exp.config_errors import intended_value

    if re.fullmatch(r"\[[^\[\]]*\]", text.strip()):
        return list(map(str, intended_value("dataset.classes", text)))
    (names,) = csv.reader([" ".join(text.splitlines())], skipinitialspace=True)
    return [name.strip() for name in names]
