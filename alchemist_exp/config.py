"""Composes the configuration, checks it, and turns it into an experiment.

Besides the commands that run Hydra, the only module that knows it. Each component class is a schema: it is registered
under its group as `_<name>`, and a YAML file of the group names it first in its defaults list. So a component's fields
and types are in its class alone, and its values in the YAML file alone.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alchemist_exp import plugins, registry
from alchemist_exp.config_checks import refuse_appended, refuse_secrets
from alchemist_exp.config_keys import how_to_name_a_schema
from alchemist_exp.core.component import Component, defined_in
from alchemist_exp.core.config_dir import config_dir as config_dir
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.core.terminal import single_line
from alchemist_exp.member_files import check_class_names, check_member
from alchemist_exp.pipeline.experiment import Experiment

_DATE = re.compile(r"-(20\d\d-\d\d-\d\d|20\d{6})$")


def directories() -> tuple[Path, ...]:
    """Return the directories of YAML files: the built-in one, those of installed plugins, that of --config-dir."""
    own = plugins.directory()
    return (Path(config_dir()), *registry.installed_directories(), *([] if own is None else [own]))


def register(directory: str | Path | None = None) -> None:
    """Make the component classes known to Hydra as schemas, plugins included.

    Args:
        directory: The user's own directory of YAML files and Python modules (--config-dir).

    Raises:
        ConfigError: A plugin is broken, or a YAML file of the directory has the name of a built-in one.

    """
    OmegaConf.register_new_resolver("model_spec", _model_spec, replace=True)
    own = None if directory is None else Path(directory).expanduser().absolute()
    schemas = registry.components(own)
    store = ConfigStore.instance()
    store.store(name="_experiment", node=Experiment)
    for group in registry.base_classes():
        stored = store.repo.setdefault(group, {})
        for name in [
            name for name in stored if name.startswith("_") and name[1:].removesuffix(".yaml") not in schemas[group]
        ]:
            del stored[name]  # of another --config-dir
        for name, schema in schemas[group].items():
            _store(group, name, schema)
    known: dict[Path, Path] = {}
    for conf in directories():
        for path in conf.glob("*/*.yaml"):
            other = known.setdefault(path.relative_to(conf), path)
            if other != path and other.read_bytes() != path.read_bytes():
                raise ConfigError(f"{path} has the name of {other}, which is read instead; rename it.")
    if own is not None:
        _check_directory(own)
    for conf in directories()[1:]:
        for group in ("dataset", "experiment"):
            for path in conf.glob(f"{group}/*.yaml"):
                check_class_names(path)
    for conf in registry.installed_directories():
        for path in conf.glob("*/*.yaml"):
            store.store(group=path.parent.name, name=path.stem, node=OmegaConf.load(path))


def _check_directory(own: Path) -> None:
    """Check the files of --config-dir.

    Raises:
        ConfigError: It has no directory of a group, or a file in one is broken.

    """
    found = [group for group in groups() if (own / group).is_dir()]
    if not found and not (own / "hydra").is_dir():
        close = [name for path in own.iterdir() for name in get_close_matches(path.name, groups(), n=1)]
        guess = f"rename one to {close[0]}" if close else "a member of label_model is label_model/NAME.yaml"
        raise ConfigError(f"--config-dir is {own}, which has no directory of a group ({', '.join(groups())}); {guess}.")
    for group in found:
        for path in sorted((own / group).glob("*.yaml")):
            if group != "experiment":
                check_member(path, members(group))


def _store(group: str, name: str, schema: type[Component]) -> None:
    store = ConfigStore.instance()
    known = store.repo[group].get(f"_{name}.yaml")
    if known is not None and OmegaConf.get_type(known.node) is schema:
        return
    try:
        store.store(group=group, name=f"_{name}", node=schema)
    except (OmegaConfBaseException, NameError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{defined_in(schema)}: a field of {schema.__name__} has a type that YAML cannot hold "
            f"({single_line(str(error).splitlines()[0])}); use numbers, text, booleans, enums, lists or dicts."
        ) from error


def compose(
    overrides: Sequence[str] = (), directory: str | Path | None = None, *, with_hydra: bool = False
) -> DictConfig:
    """Compose the configuration as the command line does.

    Args:
        overrides: Hydra overrides such as "dataset=sms" and "label_model=majority".
        directory: The user's own directory of YAML files and Python modules (--config-dir).
        with_hydra: Whether the result has Hydra's own section, which `build` refuses.

    Returns:
        The configuration; `build` turns it into an experiment.

    Raises:
        ConfigError: A plugin is broken, or an override names several members of a group.
        HydraException: The overrides cannot be composed; `config_errors.sentence` explains why.

    """
    register(directory)
    refuse_no_members(overrides)
    own = plugins.directory()
    searchpath = []
    if own is not None:
        # Quoted by the rules of Hydra's overrides, because a path may have spaces, commas and brackets.
        escaped = str(own).replace("\\", "\\\\").replace("'", "\\'")
        searchpath = [f"hydra.searchpath=['file://{escaped}']"]
    with _no_other_hydra(), hydra.initialize_config_dir(config_dir=config_dir(), version_base="1.3"):
        return hydra.compose("config", [*overrides, *searchpath], return_hydra_config=with_hydra)


@contextmanager
def _no_other_hydra() -> Iterator[None]:
    """Set Hydra's global state aside, as when the caller is itself a Hydra application."""
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = outer


def build(config: DictConfig) -> Experiment:
    """Turn a composed configuration into the experiment it describes.

    Args:
        config: The whole configuration.

    Returns:
        The experiment; its components have checked their values.

    Raises:
        ConfigError: A value is missing, unknown or invalid.

    """
    for group in registry.base_classes():
        _require_schema(config, group)
    _require_values(OmegaConf.missing_keys(config))
    refuse_appended(config, "")
    values = OmegaConf.to_container(config, resolve=True)
    if isinstance(values, dict):  # records, logs and job scripts have all values
        refuse_secrets(values, str(OmegaConf.select(config, "llm.api_key_env", default="")))
    experiment = OmegaConf.to_object(config)
    if not isinstance(experiment, Experiment):
        raise TypeError(f"the configuration became a {type(experiment).__name__}")
    return experiment


def build_component(config: DictConfig, group: str) -> Component:
    """Turn one group of a composed configuration into the component it describes.

    Args:
        config: The whole configuration; values of other groups may be missing.
        group: The configuration group.

    Returns:
        The component; it has checked its values.

    Raises:
        ConfigError: A value is missing, unknown or invalid.

    """
    _require_schema(config, group)
    _require_values(key for key in OmegaConf.missing_keys(config) if key.startswith(f"{group}."))
    refuse_appended(config[group], f"{group}.")
    component = OmegaConf.to_object(config[group])
    if not isinstance(component, Component):
        raise TypeError(f"{group} became a {type(component).__name__}")
    return component


def _require_schema(config: DictConfig, group: str) -> None:
    """Refuse a file without a schema: the group stays at its base class, and an abstract one has no objects."""
    schema = OmegaConf.get_type(config, group)
    if inspect.isabstract(schema):
        raise ConfigError(f"the YAML file of {group} names no schema; {how_to_name_a_schema(group)}.")


def _require_values(missing: Iterable[str]) -> None:
    if keys := sorted(missing):
        example = " ".join(key + ("='[ham,spam]'" if key == "dataset.classes" else "=...") for key in keys)
        raise ConfigError(f"{' and '.join(keys)} must be given, as in {example}")


def refuse_no_members(overrides: Sequence[str]) -> None:
    """Refuse group=[a,b], where Hydra would run the last with values of the first, and group=5.

    Args:
        overrides: Hydra overrides; other arguments of a command line may be among them.

    Raises:
        ConfigError: An override names several members of a group, or a number, boolean or null.

    """
    for argument in overrides:
        group, _, chosen = argument.lstrip("+").partition("=")
        if group not in groups():
            continue
        for name in chosen.split(","):
            if re.fullmatch(r"true|false|null|[+-]?[\d_.]+", name.strip(), re.ASCII | re.IGNORECASE):
                own = " For a seed of your own say 'seed.values=[5]'." if group == "seed" else ""
                raise ConfigError(unknown_name(group, name, members(group)) + own)
        if chosen.startswith("["):
            together = " For programs of several in one run: supplement=mixed 'supplement.strategies=[a,b]'."
            raise ConfigError(
                f"{argument!r} asks for several members at once; to sweep over them say -m {group}=a,b."
                f"{together if group == 'supplement' else ''}"
            )


def to_container(config: DictConfig) -> dict[str, Any]:
    """Return the resolved configuration as JSON values.

    Args:
        config: The whole configuration.

    Returns:
        All values but those of `sweep`, which say nothing about a run. There are no secrets among them, because API
        keys are never part of the configuration.

    """
    plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    if not isinstance(plain, dict):
        raise TypeError(f"the configuration became a {type(plain).__name__}")
    return {str(key): value for key, value in plain.items() if key != "sweep"}


def members(group: str) -> list[str]:
    """Return the names of the members of a group, plugins included.

    Args:
        group: A configuration group.

    Returns:
        The names of its YAML files, sorted. Files with a leading underscore are parts of members.

    """
    return sorted({path.stem for directory in directories() for path in (directory / group).glob("[!_]*.yaml")})


def groups() -> list[str]:
    """Return the groups of the configuration."""
    return sorted(path.name for path in Path(config_dir()).iterdir() if path.is_dir() and path.name != "hydra")


def _model_spec(provider: str, model: str) -> DictConfig:
    """Return the file of llm/models on a model: that of its name, of its name without a date, or _unknown.yaml."""
    files = (path for directory in directories() for path in (directory / "llm/models" / provider).glob("*.yaml"))
    specs = {path.stem: path for path in files}
    general = specs.get("_unknown") or Path(config_dir(), "llm", "models", "_unknown.yaml")
    spec = specs.get(str(model)) or specs.get(_DATE.sub("", str(model))) or general
    loaded = OmegaConf.load(spec)
    if not isinstance(loaded, DictConfig):
        raise TypeError(f"{spec} is not a mapping")
    return loaded


def describe_members() -> str:
    """Return a line for each group and member, from the first comments of their YAML files, for the help."""
    lines = []
    # The comment of each group in config.yaml, and its default member.
    text = Path(config_dir(), "config.yaml").read_text(encoding="utf-8")
    found = re.findall(r'((?:^  # .*\n)+)^  - (\w+): "?(\w+)"?$', text, re.MULTILINE)
    comments = {group: (" ".join(re.findall(r"# (.*)", comment)), default) for comment, group, default in found}
    for group in groups():
        what, default = comments.get(group, ("A sweep with a name; it is added, as in +experiment=smoke.", ""))
        names = members(group)
        width = max(map(len, names), default=0)
        lines += ["", f"{'+' if group == 'experiment' else ''}{group}: {what}"]
        for name in names:
            path = next(path for conf in directories() if (path := conf / group / f"{name}.yaml").is_file())
            of_file = path.read_text(encoding="utf-8", errors="replace").splitlines()
            first = next((line for line in of_file if line.startswith("#") and "@package" not in line), "#")
            comment = single_line(first[1:].strip())
            lines.append(f"  {name:<{width}}  {'(default) ' if name == default else ''}{comment}".rstrip())
    return "\n".join(lines[1:])
