"""Makes labeler.py: the programs of a run with its label model, in one file that needs the standard library only."""

import ast
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.labeling.program_labeler import ProgramLabeler

LABELER: Final = "labeler.py"

_RUNTIME: Final = Path(__file__).with_name("labeler_runtime.py")
_BEGIN, _END = "# --- data ---\n", "# --- end of data ---\n"

_DOCUMENTATION: Final = '''\
"""Label rows with {n_programs} programs and the label model {label_model} of the Alchemist run {run_key}.

This file needs Python 3.11 or later and no package. Its labels are those of `alchemist apply RUN --with programs`.

  python labeler.py < lines     prints label TAB probability for each {row}
  from labeler import label     label(row) returns (name, probability), or (None, 0.0) without a label

The labels are made by a machine. The programs are below, in PROGRAMS. There is no sandbox and no time limit here: read
the programs before you run them. A program that raises an error abstains, as in the sandbox.
"""
'''


def labeler_source(labeler: ProgramLabeler, label_model: str, run_key: str) -> str:
    """Return the source of labeler.py.

    Args:
        labeler: The programs and the fitted label model of the run.
        label_model: The name of the label model.
        run_key: The run's key.

    Returns:
        Python source.

    Raises:
        ConfigError: Programs receive images or scores or import packages, or the label model is a plugin without
            `LabelModel.posterior`.

    """
    if labeler.kind.name not in ("texts", "records"):
        raise ConfigError(
            f"programs of this run receive {labeler.kind.name}; labeler.py needs texts or records, so label such rows "
            "by `alchemist apply`."
        )
    for name, source in zip(labeler.programs, labeler.sources, strict=True):
        if package := _package_of(source, labeler.sandbox.importable):
            raise ConfigError(
                f"the program {name} imports {sanitize(package)}, which is not in Python's standard library; label "
                "rows by `alchemist apply RUN --with programs`."
            )
    posterior = labeler.label_model.posterior(len(labeler.programs), len(labeler.classes))
    columns = {column.name: column.type for column in labeler.kind.columns} or None
    programs = "".join(
        f"    ({name!a}, {_literal(source)}),\n" for name, source in zip(labeler.programs, labeler.sources, strict=True)
    )
    values: Mapping[str, Any] = {
        "CLASSES": labeler.classes,
        "COLUMNS": columns,
        "MODULES": labeler.sandbox.importable,
        "BIAS": tuple(posterior.bias.tolist()),
        "LINK": posterior.link.value,
    }
    of_programs = "".join(f"    {_as_tuples(of_program)!a},\n" for of_program in posterior.weights.tolist())
    block = {name: ascii(value) for name, value in values.items()}
    block |= {"WEIGHTS": f"(\n{of_programs})", "PROGRAMS": f"(\n{programs})"}
    documentation = _DOCUMENTATION.format(
        n_programs=len(labeler.programs),
        label_model=sanitize(label_model).replace("\\", "").replace('"', ""),
        run_key="".join(filter(str.isalnum, run_key)),
        row="JSON object in a line" if columns else "line",
    )
    return _assemble(documentation, block)


def _assemble(documentation: str, block: Mapping[str, str]) -> str:
    """Put the documentation and the values into the code of `labeler_runtime`."""
    runtime = _RUNTIME.read_text(encoding="utf-8")
    head, _, rest = runtime.partition(_BEGIN)
    declared, _, code = rest.partition(_END)
    lines = []
    for line in declared.splitlines():
        name, _, _ = line.partition(" = ")
        plain, colon, kind = name.partition(":")
        lines.append(f"{plain}{colon}{kind} = {block[plain]}" if plain in block else line)
    _, _, imports = head.partition('"""\n\n')
    return f"{documentation}\n{imports}{_BEGIN}" + "\n".join(lines) + f"\n{_END}{code}"


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _package_of(source: str, importable: tuple[str, ...]) -> str | None:
    """Return a package outside of the standard library that a program can import in the sandbox; None without one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    modules: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules += [alias.name for alias in names]
            case ast.ImportFrom(module=str() as module, level=0):
                modules.append(module)
    for module in modules:
        package = module.partition(".")[0]
        allowed = any(package == known.partition(".")[0] for known in importable)
        if allowed and package not in sys.stdlib_module_names:
            return package
    return None


def _literal(source: str) -> str:
    """Return a Python literal of a source: as it is between triple quotes where that is possible, else escaped."""
    # Other characters, such as those that change the direction of writing, must be visible to who reads the file.
    if all(character.isprintable() or character in "\n\t" for character in source):
        for quotes in ('"""', "'''"):
            literal = f"r{quotes}{source}{quotes}"
            try:
                if ast.literal_eval(literal) == source:
                    return literal
            except (SyntaxError, ValueError):
                continue
    lines = "".join(f"\n        {line!a}" for line in source.splitlines(keepends=True))
    return f"({lines}\n    )" if source else "''"
