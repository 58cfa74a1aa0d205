"""Means over seeds of runs that differ in nothing else, and the refusal to average any others."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.results.paper_tables import Quantity
from alchemist_exp.results.record import SCORES
from alchemist_exp.results.run_filters import as_text, scope, settings
from alchemist_exp.results.runs import GROUP_SCORES, REPLICATES, RunState


def measurements(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what finished runs measured, one value a row.

    Args:
        runs: Rows of `RunIndex.runs`; those that have not finished are passed over.

    Returns:
        Columns `run`, `quantity`, `score` (a key of `SCORES` or `GROUP_SCORES`; "" for what is not a score),
        `data_seed` (the seed of drawn data, as text), `seed` (the end model's for a distilled score, the selection's
        for a label model's, else "") and `value`. Dollars are those of zero-shot labeling for a zero-shot run, and of
        the programs for others.

    """
    rows: list[tuple[object, ...]] = []
    read = [name for name in runs if not name.startswith(("components.", "packages."))]
    for name, run in runs.loc[runs["state"] == RunState.DONE, read].to_dict("index").items():
        usd = run[f"cost.break_even.{'zero_shot' if run['method'] == 'zero_shot' else 'programs'}_usd"]
        seeds = [run.get(f"config.{group}.seed") for group in ("dataset", "selection")]
        # None or NaN where a run has no seed.
        drawn, draw = ("" if seed is None or seed != seed else str(as_text(seed)) for seed in seeds)
        rows.append((name, Quantity.PROGRAMS, "", drawn, "", run["programs.selected"]))
        rows.append((name, Quantity.COVERAGE, "", drawn, "", run["label_model.coverage.train"]))
        rows.append((name, Quantity.DOLLARS, "", drawn, "", usd))
        of_test = {score: f"{{}}.metrics.test.{score}" for score in SCORES}
        of_test |= {score: f"groups.{{}}.test.{score}" for score in GROUP_SCORES}
        for score, path in of_test.items():
            # The end model's seed does not alter a label model's score, so runs that differ in that seed count once.
            rows.append((name, Quantity.LABEL_MODEL, score, drawn, draw, run.get(path.format("label_model"))))
            if isinstance(values := run.get(f"{path.format('end_model')}.per_seed"), list):
                seeds = run["end_model.seeds"]
                rows += [(name, Quantity.DISTILLED, score, drawn, *one) for one in zip(seeds, values, strict=True)]
    return (
        pd.DataFrame(rows, columns=["run", "quantity", "score", "data_seed", "seed", "value"])
        .dropna(subset="value")
        .astype({"value": float})
    )


def aggregate(cells: pd.DataFrame, runs: pd.DataFrame, quantities: Collection[Quantity]) -> pd.DataFrame:
    """Return the mean and sample standard deviation over seeds of what the runs of each cell measured.

    Args:
        cells: One row for each run of each cell: `run`, and columns that name the cell.
        runs: Rows of `RunIndex.runs`.
        quantities: The quantities to aggregate. Each seed counts once, in however many runs it is; of different dollars
            the largest count, since a price may have changed.

    Returns:
        One row for each cell, quantity and score: the cell's columns, `quantity`, `score`, `mean`, `sd` (NaN for one
        seed) and `n` (seeds; of drawn data, pairs of the data's seed and the other).

    Raises:
        ConfigError: Two runs of a cell have different values for the same seed.

    """
    by = [*cells.columns.drop("run"), "quantity", "score"]
    values = cells.merge(measurements(runs), on="run")
    values = values[values["quantity"].isin(quantities)]
    seeds = ["data_seed", "seed"]
    per_seed = values.groupby([*by, *seeds], sort=False, dropna=False)["value"]
    differ = values[(per_seed.transform("nunique") > 1) & (values["quantity"] != Quantity.DOLLARS)]
    if not differ.empty:
        one = differ.iloc[0]
        other = differ[
            (differ[[*by, *seeds]] == one[[*by, *seeds]]).all(axis=1) & (differ["value"] != one["value"])
        ].iloc[0]
        of_seed = f" of seed {one['seed']}" if one["score"] and one["seed"] != "" else ""
        raise ConfigError(
            f"the runs {one['run']} and {other['run']} have the same settings and differ in {one['quantity']}"
            f"{of_seed}; choose with a filter, as in seed={runs['seed'][one['run']]}, or delete one of them."
        )
    # numpy on plain arrays, since pandas' own means may differ in the last digit.
    over_seeds = per_seed.max().reset_index().groupby(by, sort=False)["value"]
    means = over_seeds.agg(lambda value: np.mean(value.to_numpy())).astype(float)
    sds = over_seeds.agg(lambda value: np.std(value.to_numpy(), ddof=1) if len(value) > 1 else np.nan).astype(float)
    return pd.DataFrame({"mean": means, "sd": sds, "n": over_seeds.size()}).reset_index()


def aggregate_text(mean: float, sd: float, decimals: int = 3) -> str:
    """Return a mean and its standard deviation for people.

    Args:
        mean: The mean.
        sd: The standard deviation; NaN for one value.
        decimals: Decimals of both.

    Returns:
        A text such as "0.920 ± 0.016"; the mean alone where `sd` is NaN.

    """
    return f"{mean:,.{decimals}f}" if np.isnan(sd) else f"{mean:,.{decimals}f} ± {sd:.{decimals}f}"


def differences(runs: pd.DataFrame, axes: Collection[str]) -> dict[tuple[str, str], pd.Series]:
    """Return the settings in which runs differ although they should agree.

    Args:
        runs: Rows of `RunIndex.runs`.
        axes: The groups and keys that the comparison is over. Runs with the same member of a group have to agree in its
            values; seeds never have to.

    Returns:
        (which runs have to agree, as in `scope`; the setting) -> its value in each of these runs. The program's version
        comes first, then its packages and the data, since these alter everything else.

    """
    found = {}
    skipped = {*REPLICATES, *(axis for axis in axes if "." in axis)}
    for key, column in settings(runs).items():
        if {key, key.split(".")[0]} & skipped or column.nunique() < 2:
            continue
        for among, values in column.dropna().groupby(scope(runs, key, axes)):
            if values.nunique() > 1:
                found[str(among), key] = values
    first = ("code", "packages", "data")
    rank = {at: first.index(group) if (group := at[1].split(".")[0]) in first else len(first) for at in found}
    return {at: found[at] for at in sorted(found, key=lambda at: (rank[at], at))}


def refuse_mixed(runs: pd.DataFrame, axes: Collection[str], what: str) -> None:
    """Refuse to compare runs that were not made in the same way.

    Args:
        runs: Rows of `RunIndex.runs`.
        axes: As for `differences`.
        what: What would mix them, for the message: "table8".

    Raises:
        ConfigError: They differ; the message names the settings and the filter that chooses.

    """
    differing = differences(runs, axes)
    if not differing:
        return
    (among, key), values = next(iter(differing.items()))
    newest = runs["started_at"].str[:19].groupby(values).agg(["size", "max"])
    newest = newest.sort_values("max", ascending=False, kind="stable")
    shown = " and ".join(
        f"{text[:60]} ({n} run{'s' * (n > 1)}, the last of {at})" for text, n, at in newest[:3].itertuples()
    )
    others = sorted({other for _, other in differing} - {key})
    more = f" They also differ in {', '.join(others[:5])}{', ...' * (len(others) > 5)}." if others else ""
    raise ConfigError(
        f"{what} would mix runs{f' of {among}' * bool(among)} that differ in {key}: {shown}; run the others again, or "
        f"choose with {key}={newest.index[0][:60]}.{more}"
    )
