"""Chooses the runs of a paper's table: those that its own sweep asks for, out of all runs of an outputs directory."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from alchemist_exp import config
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.hashing import code_fingerprint
from alchemist_exp.results.filled_table import places
from alchemist_exp.results.paper_tables import TABLES
from alchemist_exp.results.provenance import package_versions
from alchemist_exp.results.run_filters import as_text, select, settings, settings_of
from alchemist_exp.results.runs import REPLICATES

ALTERS_NOTHING = ("hydra", "paths", "logger", "force", "report", "budget", "debug", "experiment")
"""Overrides that alter no result, so that they choose no runs."""

_DRAWN = REPLICATES | {"selection.n"}
"""What figure 5 has places for, and what a table averages over."""

_SHOWN_REASONS = 6


def filters_of(overrides: Sequence[str]) -> dict[str, list[str]]:
    """Return the filters that overrides of a table's sweep mean.

    Args:
        overrides: Overrides of `alchemist run`, or filters such as code=abc.

    Returns:
        The values of each key that can alter a result, as texts.

    """
    found = {}
    for text in overrides:
        key, _, values = text.partition("=")
        key = key.lstrip("+")
        if key.partition(".")[0].partition("/")[0] in ALTERS_NOTHING:
            continue
        try:
            (override,) = OverridesParser.create().parse_overrides([f"{key}={values}"])
            value: Any = override.value()
            if isinstance(value, Glob):
                found[key] = value.filter(config.members(key))
            elif override.is_discrete_sweep():
                found[key] = [*override.sweep_string_iterator()]
            else:
                found[key] = [str(as_text(value))]
        except HydraException:  # a value that is not quoted, such as a name with parentheses
            found[key] = values.split(",")
    return found


def choose_runs(
    name: str, runs: pd.DataFrame, filters: Mapping[str, Sequence[str]]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the runs that the sweep of a table asks for.

    A run is one of the sweep if each of its components is one that the sweep's configuration has; seeds may be others.
    Of runs of several versions of the program and its packages, those of this version count, if there are any.

    Args:
        name: A key of `TABLES`.
        runs: Rows of `RunIndex.runs` that pass the filters.
        filters: Overrides of the sweep.

    Returns:
        The runs, and how many others that would have a place in the table are left out, by the setting in which they
        differ from the sweep.

    """
    table = TABLES[name]
    wanted = places(table, filters)
    fitting = runs[runs.index.isin({run for names in select(runs, [place.runs for place in wanted]) for run in names})]
    if fitting.empty:
        return runs, {}
    compared = settings(fitting)
    # A group with a filter on a key is compared by its name alone: a key may have another name in a record.
    filtered = {key.partition(".")[0] for key in filters if "." in key}
    groups = {key: key.partition(".")[0] for key in compared}
    compared = compared[
        [
            key
            for key, group in groups.items()
            if group != "seed" and key not in _DRAWN and (group not in filtered or key == f"{group}.name")
        ]
    ]
    known = _components(name, fitting, filters)
    zero_shot = fitting["method"].isin([*table.optional])
    differ: dict[str, str] = {}
    for run, values in compared.iterrows():
        # The sweep calls no LLM for each row: such runs are made with any LLM.
        skipped = {"llm"} if zero_shot[run] else set()
        for group, alternatives in known.items():
            own = {
                key: value
                for key, value in values.items()
                if key.startswith(f"{group}.") and not (isinstance(value, float) and math.isnan(value))
            }
            if own and group not in skipped and (reason := _difference(group, own, alternatives)):
                differ.setdefault(str(run), reason)
    chosen = fitting[~fitting.index.isin(differ)]
    here = {"code": code_fingerprint(), **{f"packages.{key}": as_text(of) for key, of in package_versions().items()}}
    versions = compared.loc[chosen.index, [key for key in here if key in compared]]
    of_here = versions.eq(pd.Series(here)[[*versions]])
    if of_here.all(axis=1).any():
        for run, same in of_here[~of_here.all(axis=1)].iterrows():
            key = next(iter(same[~same].index))
            differ[str(run)] = f"{key}={str(versions.loc[run, key])[:12]}"
    return runs[~runs.index.isin(differ)], dict(Counter(differ.values()))


def left_out_note(name: str, left_out: Mapping[str, int]) -> str:
    """Return the note on runs that are not part of a table's sweep.

    Args:
        name: A key of `TABLES`.
        left_out: As `choose_runs` returns it.

    Returns:
        One sentence.

    """
    shown = [
        f"{reason} ({count} run{'s' * (count > 1)})" for reason, count in Counter(left_out).most_common(_SHOWN_REASONS)
    ]
    more = len(left_out) - len(shown)
    count = sum(left_out.values())
    return (
        f"{count} run{'s are' if count > 1 else ' is'} left out, because the sweep of {name} does not ask for "
        f"{'them' if count > 1 else 'it'}: {', '.join(shown)}{f' and {more} more' if more > 0 else ''}; add such a "
        "setting to this command for a table of them."
    )


def _components(
    name: str, runs: pd.DataFrame, filters: Mapping[str, Sequence[str]]
) -> dict[str, list[Mapping[str, str]]]:
    """Return the components that jobs of the sweep have, by group: their values by key, as `settings` has them.

    Each member is composed once, not each combination. A filter replaces the sweep's own member of a group.
    """
    axes = {axis: sorted({*runs[axis].dropna()}) for axis in TABLES[name].axes if axis in runs and "." not in axis}
    axes["gold"] = [*filters.get("gold", ["valid"])]
    found: dict[str, list[Mapping[str, str]]] = {}
    for number in range(max(map(len, axes.values()))):
        members = {axis: of[number % len(of)] for axis, of in axes.items()}
        for group, values in _composed(name, members).items():
            found.setdefault(group, []).append(values)
    for group, of_group in filters.items():
        if group in config.groups() and group not in axes:
            found[group] = [
                # A member may need values that are not given here, or be one of a --config-dir: it is one by its name.
                _composed(name, {group: member}, may_fail=True).get(group, {f"{group}.name": member})
                for member in of_group
            ]
    return found


def _composed(name: str, members: Mapping[str, str], *, may_fail: bool = False) -> dict[str, dict[str, str]]:
    """Return the components of a job of the sweep, by group; {} if it cannot be composed and `may_fail`."""
    try:
        overrides = [f"{group}={member}" for group, member in members.items()]
        experiment = config.build(config.compose([f"+experiment={name}", *overrides]))
    except (AlchemistError, HydraException, OmegaConfBaseException):
        if may_fail:
            return {}
        raise
    return {
        group: settings_of({group: component})
        for group, component in experiment.component_keys().items()
        if component is not None
    }


def _difference(group: str, own: Mapping[str, str], alternatives: Sequence[Mapping[str, str]]) -> str:
    """Return in which setting a component differs from the most similar alternative; "" where it is one of them.

    A key that only one of both has is not compared: another version of the program may have more keys.
    """
    differing = [[key for key in own if key in known and known[key] != own[key]] for known in alternatives]
    fewest = min(differing, key=len)
    if not fewest:
        return ""
    if f"{group}.name" in fewest:
        return f"{group}={own[f'{group}.name']}"
    return f"{fewest[0]}={own[fewest[0]][:40]}"
