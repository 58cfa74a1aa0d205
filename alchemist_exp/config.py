"""Composes the configuration, checks it, and turns it into an experiment.

With `run.py` the only module that knows Hydra. A schema is registered under its group as `_<name>`, and each YAML of
the group names one first: a component's fields and their types are said once, its values once.
"""

import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from alchemist_exp import registry
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.llm.budget import Budget
from alchemist_exp.llm.types import Price
from alchemist_exp.pipeline.experiment import Experiment, Paths

_DATE = re.compile(r"-(20\d\d-\d\d-\d\d|20\d{6})$")


def config_dir() -> str:
    """The folder of the YAML files: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "conf"
    return str(installed if installed.is_dir() else package.parent / "conf")


def register() -> None:
    """Makes the schemas known to Hydra."""
    OmegaConf.register_new_resolver("members", _members_listed, replace=True)
    OmegaConf.register_new_resolver("model_spec", _model_spec, replace=True)
    store = ConfigStore.instance()
    store.store(name="_experiment", node=Experiment)
    for group, schemas in registry.components().items():
        for name, schema in schemas.items():
            store.store(group=group, name=f"_{name}", node=schema)


def build(config: DictConfig) -> Experiment:
    """The experiment that `config` describes, every value checked. ConfigError in one sentence when one is wrong."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        example = " ".join(key + ("='[ham,spam]'" if key == "dataset.classes" else "=...") for key in missing)
        raise ConfigError(f"{' and '.join(missing)} must be given, as in {example}")
    _refuse_appended(config, "")
    experiment = OmegaConf.to_object(config)
    if not isinstance(experiment, Experiment):
        raise TypeError(f"the configuration became a {type(experiment).__name__}")
    return experiment


def _refuse_appended(config: DictConfig, prefix: str) -> None:
    """Hydra's +key=value gets past the schemas; a key that no component reads would be dropped in silence."""
    schema = OmegaConf.get_type(config)
    known = [f.name for f in fields(schema)] if schema and is_dataclass(schema) else [str(key) for key in config]
    for key in map(str, config):
        if key not in known:
            raise ConfigError(unknown_name("the key", prefix + key, [prefix + name for name in known]))
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            _refuse_appended(node, f"{prefix}{key}.")


def check_interpolated_overrides(config: DictConfig, overrides: Sequence[str]) -> None:
    """Values below a key that is taken from elsewhere would be dropped in silence."""
    for override in overrides:
        *above, _ = override.lstrip("+~").partition("=")[0].split(".")
        node: Any = config
        for depth, key in enumerate(above, start=1):
            if not isinstance(node, DictConfig) or key not in node:
                break
            if OmegaConf.is_interpolation(node, key):
                whole = ".".join(above[:depth])
                raise ConfigError(
                    f"{override} changes a part of {whole}, which is taken from elsewhere; give all of it, as in "
                    f"{whole}={{...}}."
                )
            node = node._get_node(key)


def to_container(config: DictConfig) -> dict[str, Any]:
    """The resolved configuration as JSON knows it. It holds no secrets: keys are never part of it."""
    plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    if not isinstance(plain, dict):
        raise TypeError(f"the configuration became a {type(plain).__name__}")
    return {str(key): value for key, value in plain.items()}


def known_keys(schema_name: str) -> list[str]:
    """The keys of the schema class of that name; empty when there is none."""
    parts: list[type[Any]] = [Experiment, Paths, Price, Budget]
    classes = parts + [schema for schemas in registry.components().values() for schema in schemas.values()]
    return [f.name for cls in classes if cls.__name__ == schema_name for f in fields(cls)]


def _model_spec(provider: str, model: str) -> DictConfig:
    """What conf/llm/models says of a model: by its name, else without its date, else as of one nobody knows."""
    specs = {path.stem: path for path in Path(config_dir(), "llm", "models", provider).glob("*.yaml")}
    general = specs.get("_unknown") or Path(config_dir(), "llm", "models", "_unknown.yaml")
    spec = specs.get(str(model)) or specs.get(_DATE.sub("", str(model))) or general
    loaded = OmegaConf.load(spec)
    if not isinstance(loaded, DictConfig):
        raise TypeError(f"{spec} is not a mapping")
    return loaded


def _members_listed() -> str:
    """A line per group for the help."""
    lines = [f"{group}: {', '.join(members(group))}" for group in groups() if group != "experiment"]
    return "\n".join([*lines, f"+experiment: {', '.join(members('experiment'))}"])


def members(group: str) -> list[str]:
    """The members of a group; names with a leading underscore are parts, not members."""
    return sorted(path.stem for path in Path(config_dir(), group).glob("[!_]*.yaml"))


def groups() -> list[str]:
    """The groups of the configuration."""
    return sorted(path.name for path in Path(config_dir()).iterdir() if path.is_dir() and path.name != "hydra")
