"""Makes Hydra compose each choice of groups once for all processes of the tests; values are set in a copy.

Composing takes 0.25 s of CPU, almost all of it for reading and merging the YAML files of the groups' members. Hydra
sets the overrides of values after that, so the merged files can be kept, and the tests still run Hydra's own code for
everything that an override changes. Files of a directory of the user (--config-dir) or of an installed plugin are not
kept. The files are kept in a directory that processes with the same environment share.

A choice of groups that no test has made before needs half of that time: each file is read once per process, and the
files of a member are merged once, because members of different groups have no key in common.
"""

import atexit
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal import defaults_list as hydra_defaults
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides, create_defaults_list
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from alchemist_exp import plugins, registry
from alchemist_exp.core.config_dir import config_dir
from alchemist_exp.core.hashing import key_of

DIRECTORY_VARIABLE = "TESTS_REMEMBERED_GROUPS"
"""The environment variable that names the directory. The process that has none makes one and removes it at its end."""

_lists: dict[str, DefaultsList] = {}
"""The files to merge, by the key of a choice of groups."""

_merged: dict[str, bytes] = {}
"""The merged files, by the same keys; pickled, because loading them is faster than a deep copy."""

_files: dict[str, bytes] = {}
"""What Hydra has read, by the path in the configuration; pickled."""

_members: dict[tuple[Any, ...], bytes] = {}
"""The merged files of a group, by their paths and packages; pickled."""

_load = ConfigRepository.load_config
_merge: Callable[..., DictConfig] = ConfigLoaderImpl._compose_config_from_defaults_list
_map_interpolations = hydra_defaults._create_interpolation_map


def remember_groups() -> None:
    """Replace the functions of Hydra that read and merge files, for the rest of this process."""
    if DIRECTORY_VARIABLE not in os.environ:
        os.environ[DIRECTORY_VARIABLE] = tempfile.mkdtemp(prefix="alchemist_tests_")
        atexit.register(shutil.rmtree, os.environ[DIRECTORY_VARIABLE])
    directory = Path(os.environ[DIRECTORY_VARIABLE])

    def merge_once(self: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> Any:
        key = next((key for key, known in _lists.items() if known.defaults is defaults), None)
        if key is None:
            return _merge_members(self, defaults, repo)
        if key not in _merged:
            _merged[key] = pickle.dumps(_merge_members(self, defaults, repo))
            temporary = directory / f"{key}.{os.getpid()}"
            temporary.write_bytes(pickle.dumps((_lists[key], _merged[key])))
            temporary.rename(directory / key)
        return pickle.loads(_merged[key])

    config_loader_impl.create_defaults_list = partial(_list_once, directory)  # type: ignore[attr-defined]
    ConfigLoaderImpl._compose_config_from_defaults_list = merge_once  # type: ignore[method-assign]
    ConfigRepository.load_config = _load_once  # type: ignore[method-assign]
    hydra_defaults._create_interpolation_map = _map_used_interpolations
    # Hydra copies its sources for each composition, and with them its store of schemas, which only hands out copies.
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


def _map_used_interpolations(overrides: Overrides, defaults_list: list[InputDefault], self_added: bool) -> DictConfig:
    """Return the choices that interpolations of a file refer to; Hydra maps them for each file, and few have any."""
    if any(default.is_interpolation() for default in defaults_list):
        return _map_interpolations(overrides, defaults_list, self_added)
    return OmegaConf.create()


def _has_own_files_only(repo: Any) -> bool:
    """Return whether the configuration comes from conf/ and no plugin alone."""
    paths = [source.path for source in repo.get_sources() if source.scheme() == "file"]
    return paths == [config_dir()] and not plugins.directory() and not registry.installed_directories()


def _is_own(repo: Any, config_path: str) -> bool:
    """Return whether a file or a schema is neither a user's nor a plugin's, and so stays as it is."""
    source = repo._find_object_source(config_path, ObjectType.CONFIG)
    if source is None:
        return False
    if source.scheme() == "structured":
        return config_path in _files or _has_own_files_only(repo)
    return bool(source.scheme() != "file" or source.path == config_dir())


def _load_once(self: ConfigRepository, config_path: str) -> ConfigResult | None:
    """Return the content of a file, which the caller may change."""
    if not _is_own(self, config_path):
        return _load(self, config_path)
    if config_path not in _files:
        _files[config_path] = pickle.dumps(_load(self, config_path))
    found: ConfigResult | None = pickle.loads(_files[config_path])
    return found


def _merge_members(self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: CachingConfigRepository) -> DictConfig:
    """Merge files as Hydra does; those of a group are consecutive, and are merged with each other first."""
    merged = OmegaConf.create()
    try:
        with flag_override(merged, "no_deepcopy_set_nodes", True):
            for _, files in groupby(defaults, key=_group_of):
                member = [*files]
                if not all(_is_own(repo.delegate, str(file.config_path)) for file in member):
                    merged.merge_with(_merge(self, member, repo))
                    continue
                key = tuple((file.config_path, file.package) for file in member)
                if key not in _members:
                    _members[key] = pickle.dumps(_merge(self, member, repo))
                merged.merge_with(pickle.loads(_members[key]))
    except OmegaConfBaseException:
        return _merge(self, defaults, repo)  # fails with the message of Hydra
    return merged


def _group_of(file: ResultDefault) -> str | None:
    """Return the group that a file is part of; a file that is part of none, such as an experiment, is on its own."""
    return (file.package or "").partition(".")[0] or file.config_path


def _list_once(
    directory: Path, repo: Any, config_name: str | None, overrides_list: list[Any], **options: Any
) -> DefaultsList:
    """Return the files to merge; equal choices of groups get the same list."""
    if not _has_own_files_only(repo):
        return create_defaults_list(repo, config_name, overrides_list, **options)
    values = Overrides(repo=repo, overrides_list=overrides_list).config_overrides
    # Hydra does not use overrides of a sweep here.
    groups = [
        override.input_line
        for override in overrides_list
        if override not in values and not override.is_sweep_override()
    ]
    key = key_of("groups", [config_name, groups, options])
    if key not in _lists:
        try:
            _lists[key], _merged[key] = pickle.loads((directory / key).read_bytes())
        except FileNotFoundError:
            _lists[key] = create_defaults_list(repo, config_name, overrides_list, **options)
    return replace(_lists[key], config_overrides=values)
