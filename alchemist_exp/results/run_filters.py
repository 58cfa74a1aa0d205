"""Which runs of a frame a comparison is over: their settings, filters, and what has to agree."""

import math
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pandas as pd

from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.results.runs import AXES, flatten

_SETTINGS = ("components.", "packages.", "code", "data.fingerprint")
"""What can alter a result, as beginnings of a record's keys."""


def as_text(value: object) -> Any:
    """Return a value as it is written in a filter or an override.

    Args:
        value: A value of a record.

    Returns:
        A text: true, null, 0.5. NaN is returned unchanged.

    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value if isinstance(value, float) and math.isnan(value) else str(value)


def settings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what can alter the results of runs.

    Args:
        runs: Rows of `RunIndex.runs`.

    Returns:
        One row for each run and one column for each value, named as in a filter (`label_model.starts`, `code`), as
        text. "null" where a run does not have a value that another run with the same member has; NaN where no run with
        that member has it, or the run's method does not use the group.

    """
    found: dict[str, list[Any]] = {}
    for path in [path for path in runs if path.startswith(_SETTINGS)]:
        key = path.removeprefix("components.")
        texts = [as_text(value) for value in runs[path]]
        group = key.partition(".")[0]
        members = list(runs[group]) if group in runs else [""] * len(texts)
        # The member is NaN, and so not among them, where the method does not use the group.
        known = {member for member, text in zip(members, texts, strict=True) if text == text and member == member}
        found[key] = [
            math.nan if member not in known else text if text == text else "null"
            for member, text in zip(members, texts, strict=True)
        ]
    return pd.DataFrame(found, index=runs.index, dtype=object)


def settings_of(components: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of components as `settings` has them.

    Args:
        components: Keys of components by their groups, as in a record.

    Returns:
        The texts of their values by paths such as "label_model.starts".

    """
    return {path: as_text(value) for path, value in flatten(components)}


def select(runs: pd.DataFrame, wanted: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return, for each place of a table, the runs that have its members and values.

    Args:
        runs: Rows of `RunIndex.runs`.
        wanted: For each place, the wanted member of a group (`label_model`) or value of a key (`selection.n`). A group
            that a run's method does not use is not compared.

    Returns:
        For each place the names of the runs, in their order.

    """
    # Each value is compared once, since a table has up to a hundred places, which share most of their values.
    fitting = {}
    for key, value in {item: None for members in wanted for item in members.items()}:
        column = runs[key] if key in runs else runs.get(f"config.{key}")
        if column is not None:
            fitting[key, value] = {*runs.index[(column == value) | runs[key.partition(".")[0]].isna()]}
    return [
        [run for run in runs.index if all(run in fitting[item] for item in members.items() if item in fitting)]
        for members in wanted
    ]


def scope(runs: pd.DataFrame, key: str, axes: Collection[str] = AXES) -> pd.Series:
    """Return which runs each run has to agree with in the value of `key`.

    Args:
        runs: Rows of `RunIndex.runs`.
        key: A column of `settings`.
        axes: The groups that the comparison is over.

    Returns:
        For each run a text such as "dataset=sms", which is the same for the runs that have to agree; "" for all runs.
        Drawn data have to agree with data of the same seed.

    """
    group = key.partition(".")[0]
    if key in ("data.fingerprint", "llm.recording"):
        group = "dataset"
    elif group == "llm":  # Zero-shot labeling may use another model than programs do.
        group = "method"
    if group not in axes or key == "dataset.limit":
        return pd.Series("", index=runs.index)
    found = f"{group}=" + runs[group].astype(str)
    if key == "data.fingerprint" and (seed := "config.dataset.seed") in runs:
        found = found.where(runs[seed].isna(), found + ", dataset.seed=" + runs[seed].map(as_text).astype(str))
    return found


def with_unseen_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs with the scores on rows whose text is in no earlier split in the place of those on all rows.

    Args:
        runs: Rows of `RunIndex.runs`.

    Returns:
        The same rows. The scores of a split without repeats, and those by group, stay.

    """
    runs = runs.copy()
    for path in [path for path in runs if ".metrics_unseen." in path]:
        usual = path.replace(".metrics_unseen.", ".metrics.", 1)
        if usual in runs:
            # NaN, unlike null, is what a record does not have.
            missing = runs[path].map(lambda value: isinstance(value, float) and math.isnan(value))
            runs[usual] = runs[usual].where(missing, runs[path])
    return runs


def check_members(runs: pd.DataFrame, filters: Mapping[str, Sequence[str]]) -> None:
    """Check that the member that a filter names is that of a run.

    Args:
        runs: Rows of `RunIndex.runs`.
        filters: As for `narrow`.

    Raises:
        ConfigError: No run has the member.

    """
    for group in {key.removesuffix(".name") for key in runs.columns if key.endswith(".name")} & {
        f"config.{key}" for key in filters
    }:
        key = group.removeprefix("config.")
        known = {*runs[f"{group}.name"].dropna()}
        for text in filters[key]:
            if text not in known:
                close = get_close_matches(text, known, n=1)
                guess = f"; did you mean {close[0]!r}?" if close else "."
                raise ConfigError(f"no run has {key}={text}{guess} The runs have: {', '.join(sorted(known))}.")


def narrow(runs: pd.DataFrame, filters: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the runs that pass every filter.

    Args:
        runs: Rows of `RunIndex.runs`.
        filters: For a group (its member is meant) or a key such as `label_model.starts`, the texts of which the value
            has to be one; for `code` and `data.fingerprint`, first digits. A run whose method does not use a
            group passes a filter on it, and a filter on a key leaves runs of another kind: label_model.starts=50 says
            nothing about majority votes.

    Returns:
        The rows that pass, in their order.

    Raises:
        ConfigError: No run has a group or key of that name.

    """
    compared = settings(runs)
    config = {path.removeprefix("config."): path for path in runs if path.startswith("config.")}
    groups = {key.partition(".")[0] for key in config}
    keys = groups | {*config} | {*compared}
    for key, texts in filters.items():
        if len(runs) and key not in keys:
            same_group = {name for name in keys if "." in name and name.split(".")[0] == key.split(".")[0]}
            raise ConfigError(unknown_name("the filter", key, same_group or {name for name in keys if "." not in name}))
        named = [runs[path] for path in (key if key in groups else "", config.get(key, "")) if path in runs]
        named += [compared.loc[runs.index, key]] if key in compared else []
        fits = pd.concat([column.map(as_text).isin(texts) for column in named], axis=1).any(axis=1)
        if key in ("code", "data.fingerprint"):
            fits |= runs[key].str.startswith(tuple(texts))
        group = key.partition(".")[0]
        unaffected = runs[group].isna() if group in runs else pd.Series(False, index=runs.index)
        if "." in key:
            unaffected = (unaffected | ~scope(runs, key).isin(scope(runs, key)[fits])) & fits.any()
        runs = runs[fits | unaffected]
    return runs
