"""Makes the components of a run again from stored values, without composing the configuration.

Values may come from another person. Built-in classes are made of them after a check of names, types and ranges. A class
of a plugin is used only with the user's consent, because its import runs code.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alchemist_exp import registry
from alchemist_exp.core.component import Component
from alchemist_exp.core.config_dir import config_dir
from alchemist_exp.core.errors import ConfigError, StoreError, unknown_name
from alchemist_exp.core.source import source_fingerprint
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.end_model.settings import Device
from alchemist_exp.features.combined import PARTS, Combined
from alchemist_exp.labeling.run_files import StoredRun, broken, is_name, read_object, take
from alchemist_exp.pipeline.saved_components import COMPONENTS, VERSION
from alchemist_exp.results.record import RECORD
from alchemist_exp.sandbox.base import Sandbox

MAX_CHARS: Final = 1_000_000
"""Characters of the stored values of a component, as JSON."""

MAX_PARTS: Final = 100
"""Parts of a combined feature extractor."""

SANDBOXES: Final = ("auto", "seccomp", "bwrap", "none")

MAX_LIMITS: Final[Mapping[str, float]] = {
    "call_cpu_s": 60.0,
    "init_cpu_s": 300.0,
    "stall_s": 600.0,
    "program_wall_s": 86_400.0,
    "memory_mb": 32_768,
    "max_timeouts": 100_000,
    "max_restarts": 10_000,
    "max_source_bytes": 1 << 24,
    "chunk_rows": 1_000_000,
    "chunk_mb": 1_024,
}
"""The largest value of each limit of the sandbox that is taken from a run; a larger one could stop the machine."""


@dataclass(frozen=True, kw_only=True)
class Consent:
    """What the user allows the files of a run to do.

    Attributes:
        config_dir: A directory of the user whose Python modules may be imported; None for none. With a directory, the
            installed plugins are imported too.
        weights: Files or directories outside of the run that may be read.
        modules: Modules that programs may import, besides those that this package allows by default.

    """

    config_dir: Path | None = None
    weights: Sequence[Path] = ()
    modules: Sequence[str] = ()


def make_component(run: StoredRun, group: str, consent: Consent) -> Component:
    """Make a component of a run again.

    Args:
        run: The run.
        group: The configuration group.
        consent: What the user allows.

    Returns:
        The component; it has checked its values.

    Raises:
        StoreError: The stored values are broken, or a plugin is needed.
        ConfigError: A plugin cannot be imported.

    """
    where, stored = _stored(run, group, consent.config_dir)
    return _make(stored, group, consent, where)


def _make(stored: Mapping[str, Any], group: str, consent: Consent, where: Path, key: str = "") -> Component:
    """Make a component, and before it the components that it consists of.

    Args:
        stored: Its class and values.
        group: The configuration group of its class.
        consent: What the user allows.
        where: The file with these values.
        key: The key of a part in its group, such as parts.words; empty for the group's own component.

    Returns:
        The component; it has checked its values.

    """
    name, values = stored.get("class"), take(stored, "values", dict, where)
    if not is_name(name):
        raise broken(where, f"the class of its {group} has no name")
    cls = _find_class(group, str(name), consent)
    if group == "end_model" and values.get("device") == Device.cuda.value:
        values = values | {"device": Device.auto.value}  # the model was trained elsewhere
    if not issubclass(cls, Combined):
        return _build(cls, group, values, where)
    if key:
        raise broken(where, f"{group}.{key} consists of parts itself")
    found, parts = take(values, PARTS, dict, where), {}
    if len(found) > MAX_PARTS:
        raise broken(where, f"its {group} has {len(found)} parts; expected at most {MAX_PARTS}")
    for part in found:
        parts[part] = _make(take(found, part, dict, where), group, consent, where, f"{PARTS}.{part}")
    return _build(cls, group, {**values, PARTS: {}}, where, parts)


def _stored(run: StoredRun, group: str, config_dir_of_user: Path | None = None) -> tuple[Path, Mapping[str, Any]]:
    """Return the file with a component, and the class and values in it."""
    path = run.directory / COMPONENTS
    if not path.exists():  # a run of an earlier version
        where = run.directory / RECORD
        values = run.config(group)
        return where, {"class": _class_of_member(group, values.get("name"), config_dir_of_user), "values": dict(values)}
    stored = read_object(path)
    if take(stored, "version", int, path) != VERSION:
        raise broken(path, f"its version is {stored['version']}; expected {VERSION}")
    return path, take(take(stored, "components", dict, path), group, dict, path)


def _class_of_member(group: str, name: object, own: Path | None) -> object:
    """Return the name of the class of a member, as its YAML file has it; the member's name if there is no such file."""
    places = [Path(config_dir(), group), *([] if own is None else [own.expanduser() / group])]
    files = {path.stem: path for place in places for path in place.glob("[!_]*.yaml")}
    seen = set[object]()
    while isinstance(name, str) and name in files and name not in seen:
        seen.add(name)
        try:
            found = yaml.safe_load(files[name].read_text(encoding="utf-8"))
            first = found["defaults"][0]
        except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
            break
        if isinstance(first, str) and first.startswith("_"):
            return first.removeprefix("_")
        name = first
    return name


def _find_class(group: str, name: str, consent: Consent) -> type[Component]:
    """Return the class that is registered under a name."""
    built_in = registry.built_in().get(group, {})
    if name in built_in:
        return built_in[name]
    if consent.config_dir is None:
        raise StoreError(
            f"the {group} of this run is {sanitize(name)!r}, which is not part of this package; if you have its code "
            "and trust it, name its directory by --config-dir DIR (the modules in DIR and installed plugins are run)."
        )
    found = registry.components(consent.config_dir.expanduser().absolute()).get(group, {})
    if name not in found:
        raise StoreError(unknown_name(f"the {group} of this run,", sanitize(name), found))
    return found[name]


def _build(
    cls: type[Component],
    group: str,
    values: Mapping[str, Any],
    where: Path,
    parts: Mapping[str, Component] | None = None,
) -> Component:
    """Return a component of a class, made of values that are checked first, and of parts that were built before."""
    try:
        text = json.dumps(values, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise broken(where, f"the values of its {group}: {error}") from error
    if len(text) > MAX_CHARS or "${" in text or MISSING in _texts(values):
        raise broken(where, f"the values of its {group} are too long, missing or refer to other values")
    known = [f.name for f in fields(cls)]
    if unknown := next((key for key in values if key not in known), None):
        raise broken(where, unknown_name("the key", f"{group}.{unknown[:40]}", [f"{group}.{key}" for key in known]))
    try:
        given = dict(values) if parts is None else {**values, PARTS: dict(parts)}
        made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), given))
    except ConfigError as error:
        raise broken(where, str(error).removesuffix(".")) from error
    except (OmegaConfBaseException, TypeError, ValueError, OverflowError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise broken(where, f"the values of its {group}: {lines[0]}") from error
    if not isinstance(made, cls):
        raise broken(where, f"the values of its {group}")
    return made


def _texts(value: object) -> list[str]:
    """Return all strings in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *_texts(inner))]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list) else []


def default_limits() -> dict[str, Any]:
    """Return the default limits of a sandbox by key."""
    found: dict[str, Any] = yaml.safe_load(Path(config_dir(), "sandbox", "_limits.yaml").read_text(encoding="utf-8"))
    return found


def make_sandbox(run: StoredRun, mode: str | None, consent: Consent, workers: int | None = None) -> Sandbox:
    """Make a sandbox with the limits of a run.

    Args:
        run: The run.
        mode: One of `SANDBOXES`; the mode of the run does not count. None for a sandbox that is not checked, because no
            program will run in it.
        consent: What the user allows.
        workers: Programs that run at once; None for as many as there are CPU cores. It cannot alter votes.

    Returns:
        The sandbox.

    Raises:
        StoreError: A limit is broken or larger than `MAX_LIMITS` allows, or programs may import a module that is not
            allowed by default.
        SandboxError: The mode does not work on this machine.

    """
    where, stored = _stored(run, "sandbox")
    values = take(stored, "values", dict, where)
    usual = default_limits()
    chosen = dict(usual)
    for key, largest in MAX_LIMITS.items():
        value = values.get(key, usual[key])
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
            raise broken(where, f"its sandbox.{key} is {str(value)[:40]}; expected a number up to {largest:g}")
        chosen[key] = value
    allowed = {*usual["allowed_modules"], *usual["extra_modules"], *consent.modules}
    for key in ("allowed_modules", "extra_modules"):
        names = values.get(key, usual[key])
        if not isinstance(names, list) or not all(is_name(name) for name in names):
            raise broken(where, f"its sandbox.{key} is not a list of names")
        if unknown := next((name for name in names if name not in allowed), None):
            raise StoreError(
                f"programs of this run may import {sanitize(unknown)!r}, which is imported outside of the sandbox and "
                "is not allowed by default; if you trust that module, add --allow-module NAME."
            )
        chosen[key] = names
    # Checked when the programs were vetted.
    chosen |= {"name": mode or "auto", "determinism_rows": 0, "workers": workers}
    if mode == "none":
        chosen["i_accept_untrusted_code"] = True
    sandbox = _build(registry.built_in()["sandbox"][chosen["name"]], "sandbox", chosen, where)
    if not isinstance(sandbox, Sandbox):
        raise TypeError(f"the sandbox became a {type(sandbox).__name__}")
    if mode is not None:
        sandbox.check()
    return sandbox


def changed_plugins(run: StoredRun, made: Mapping[str, Component]) -> list[str]:
    """Return the groups whose class has another source than the run had, for a warning.

    Args:
        run: The run.
        made: Components of plugins and of this package, by group.

    """
    path = run.directory / COMPONENTS
    if not path.exists():
        return []
    stored = take(read_object(path), "components", dict, path)
    changed = []
    for group, component in made.items():
        pairs = [(component, stored.get(group))]
        if isinstance(component, Combined):
            found = _entry(_entry(stored.get(group), "values"), PARTS)
            pairs += [(part, _entry(found, name)) for name, part in component.parts.items()]
        now = [(source_fingerprint(type(one)), _entry(of_run, "source_fingerprint")) for one, of_run in pairs]
        if any(key is not None and key != of_run for key, of_run in now):
            changed.append(group)
    return changed


def _entry(found: object, key: str) -> Any:
    """Return a value of a JSON object; None if there is no such object."""
    return found.get(key) if isinstance(found, dict) else None
