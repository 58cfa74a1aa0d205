"""Checks the YAML files of `--config-dir` before Hydra reads them, so that an error has the file and the line."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError

from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.core.terminal import single_line


def check_member(path: Path, known: Collection[str]) -> None:
    """Check what Hydra would report without the line, or not at all.

    Args:
        path: The file of a member, GROUP/MEMBER.yaml.
        known: The members that its defaults list may name.

    Raises:
        ConfigError: The file is not valid YAML or not a mapping, its defaults list has an unknown name, its name is not
            that of the file, or a reference ${...} cannot be parsed.

    """
    root = _parse(path)
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise _error(path, root, "the file has no keys; write defaults: [NAME, _self_], then lines of key: value")
    for key, value in root.value:
        if key.value == "defaults":
            if not isinstance(value, yaml.SequenceNode):
                raise _error(path, value, "defaults needs a list, as in defaults: [NAME, _self_]")
            for item in value.value:
                # Schemas and parts begin with an underscore; Hydra's error about them is explained elsewhere.
                plain = isinstance(item, yaml.ScalarNode) and re.fullmatch(r"[^_/@$][^/@$]*", item.value)
                if plain and item.value not in known:
                    raise _error(path, item, unknown_name("the member", item.value, known))
        elif key.value == "name" and isinstance(value, yaml.ScalarNode) and value.value != path.stem:
            raise _error(path, value, f"name is {value.value!r}, and the file is {path.name}; make them the same")
    for scalar in _scalars(root):
        try:
            OmegaConf.create([scalar.value])
        except GrammarParseError as error:
            what = rf"{scalar.value!r} is not a valid reference; a text that contains ${{ has \${{ instead"
            raise _error(path, scalar, what) from error


def line_of(path: Path, key: str) -> int | None:
    """Return the line of a key at the top of a file.

    Args:
        path: A YAML file.
        key: The key.

    Returns:
        The line, counted from 1; None if the file does not have the key.

    """
    root = _parse(path)
    keys = [key for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    return next((node.start_mark.line + 1 for node in keys if node.value == key), None)


def check_class_names(path: Path) -> None:
    """Refuse class names that YAML reads as another value, such as no (False), 010 (8) and 12:30 (750).

    Args:
        path: The file of a dataset or of an experiment. One that is not valid YAML is left to Hydra, which explains it
            if it is used.

    Raises:
        ConfigError: A class name has to be in quotes.

    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return
    for key, node in _entries(root):
        nodes = dict(_entries(node)) if key == "dataset" else {key: node}
        listed = nodes.get("classes")
        names = listed.value if isinstance(listed, yaml.SequenceNode) else []
        for name in names:
            text = name.value if isinstance(name, yaml.ScalarNode) else "..."
            is_decimal = name.tag.endswith(":int") and re.fullmatch(r"0|[1-9][0-9]{0,8}", text)
            if name.tag != "tag:yaml.org,2002:str" and not is_decimal:
                quoted = ", ".join(f'"{one.value}"' for one in names if isinstance(one, yaml.ScalarNode))
                raise ConfigError(
                    f"{path}, line {name.start_mark.line + 1}: the class name {text} is no text in YAML; put the names "
                    f"in quotes: classes: [{quoted}]"
                )


def _entries(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            yield key.value, value


def _parse(path: Path) -> yaml.Node | None:
    raw = path.read_bytes()
    try:
        return yaml.compose(raw.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}, is not UTF-8; save the file as UTF-8.") from error
    except yaml.reader.ReaderError as error:
        line = raw.decode("utf-8")[: error.position].count("\n") + 1
        raise ConfigError(f"{path}, line {line}, has a control character; remove it.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}," if mark else ""
        tab = "; indent with blanks" if "'\\t'" in str(error.problem) else "; fix it"
        raise ConfigError(f"{path}{where} is not valid YAML: {error.problem}{tab}.") from error


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item)
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _scalars(value)


def _error(path: Path, node: yaml.Node, what: str) -> ConfigError:
    return ConfigError(single_line(f"{path}, line {node.start_mark.line + 1}: {what.rstrip('.')}."))
