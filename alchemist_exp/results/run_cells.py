"""Which runs of any sweep are averaged, what tells the averages apart, and the averages."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from alchemist_exp.results.aggregate import aggregate, differences, measurements
from alchemist_exp.results.paper_tables import Quantity
from alchemist_exp.results.record import SCORES
from alchemist_exp.results.report import SHOWN_KEY_DIGITS, UNKNOWN
from alchemist_exp.results.run_filters import settings
from alchemist_exp.results.run_names import dataset_label
from alchemist_exp.results.runs import AXES, GROUP_SCORES

GROUPS = (
    "dataset", "method", "llm", "prompt", "supplement", "vetting", "repair", "refine", "selection", "label_model",
    "sandbox", "feature_extractor", "end_model", "predict", "gold",
)  # fmt: skip
"""The configuration groups that can tell runs apart, in the order of their columns."""

SAID_ONCE = ("method", "supplement", "label_model", "feature_extractor", "gold")
"""Groups whose member is in the caption where it is the same in all runs."""

KEY_DIGITS = 6
"""First digits of a key that tells two datasets or two lists apart."""

_FALLBACK = {
    f"{scores.format(split='test')}.{score}{end}": f"{scores.format(split='valid')}.{score}{end}"
    for scores, end, names in (
        ("label_model.metrics.{split}", "", SCORES),
        ("end_model.metrics.{split}", ".per_seed", SCORES),
        ("end_model.ensemble.metrics.{split}", "", SCORES),
        ("end_model.combined.metrics.{split}", "", SCORES),
        ("groups.label_model.{split}", "", GROUP_SCORES),
        ("groups.end_model.{split}", ".per_seed", GROUP_SCORES),
    )
    for score in names
}
"""The values of a record with a score on test, and those with the score on valid."""

GROUP_COLUMNS = {
    f"{score}, {model}": (quantity, key)
    for model, quantity in {"label model": Quantity.LABEL_MODEL, "distilled": Quantity.DISTILLED}.items()
    for key, score in {"worst_accuracy": "worst group", "gap": "gap"}.items()
}
"""The columns of runs with groups in a list of runs, and the quantity and score in each."""


def with_split_scores(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Return the runs with scores on valid in the place of those on test, where test has none; and the split of each.

    Args:
        runs: The finished runs.

    Returns:
        The runs, and for each "test", "valid", or UNKNOWN where no split has labels.

    """
    runs = runs.copy()

    def has_score(columns: Iterable[str]) -> pd.Series:
        """Return whether each run has a value in one of the columns."""
        return runs.reindex(columns=columns).notna().any(axis=1)

    on_test = has_score(_FALLBACK)
    on_valid = ~on_test & has_score(_FALLBACK.values())
    for test, valid in _FALLBACK.items():
        if valid in runs and on_valid.any():
            runs[test] = runs.get(test, pd.Series(np.nan, index=runs.index, dtype=object)).where(~on_valid, runs[valid])
    split = pd.Series(UNKNOWN, index=runs.index).mask(on_test, "test").mask(on_valid, "valid")
    return runs, split


def dataset_names(runs: pd.DataFrame) -> pd.Series:
    """Return a name of each run's data: the member, and what tells apart data of the same member.

    Members such as files are of any data: the last part of the path is added, then dataset.limit, then first digits of
    the fingerprint, each only where the data differ without it.

    Args:
        runs: The finished runs.

    Returns:
        A name for each run.

    """
    names, data = runs["dataset"].astype(str).map(dataset_label), _fingerprints(runs)
    path, limit = (runs.get(f"config.dataset.{key}", pd.Series(np.nan, index=runs.index)) for key in ("path", "limit"))
    parts = (
        " " + path.map(lambda value: Path(value).name if isinstance(value, str) else ""),
        limit.map(lambda value: f" limit={value:.0f}" if isinstance(value, int | float) and value == value else ""),
        " (" + data.str[:KEY_DIGITS] + ")",
    )
    for part in parts:
        ambiguous = data.groupby(names).transform("nunique") > 1
        telling = part.groupby(names).transform("nunique") > 1
        names = names.where(~(ambiguous & telling), (names + part).str.rstrip())
    return names


def _fingerprints(runs: pd.DataFrame) -> pd.Series:
    """Return the fingerprints of the runs' data; "" for drawn data, which differ with their seed."""
    drawn = runs.get("config.dataset.seed", pd.Series(np.nan, index=runs.index)).notna()
    return runs["data.fingerprint"].astype(str).mask(drawn, "")


def cells_of(runs: pd.DataFrame, names: pd.Series) -> tuple[pd.Series, pd.DataFrame, list[str]]:
    """Return which runs are averaged, and what tells the averages apart.

    Args:
        runs: The finished runs.
        names: The name of each run's data.

    Returns:
        The number of its cell for each run (runs of a cell differ in seeds only), a column for each group that differs
        and each key that differs within one dataset and is not implied by another, as text, and those of them that are
        versions of code and packages.

    """
    seeds = ["seed.name", "seed.values", "selection.seed", "dataset.seed"]
    values = settings(runs).drop(columns=seeds, errors="ignore").assign(**{"data.fingerprint": _fingerprints(runs)})
    values = values.drop(columns=[key for key in values if key.startswith("llm.price.")])  # it alters no score
    cells = values.fillna("").groupby([*values], sort=False).ngroup()
    # A seed may score differently alone and together with others; such runs are separate rows.
    measured = measurements(runs).join(cells.rename("cell"), on="run")
    measured = measured[measured["quantity"] != Quantity.DOLLARS]
    differing = measured.groupby(["cell", "quantity", "score", "data_seed", "seed"])["value"].nunique() > 1
    split = cells.isin(differing[differing].index.get_level_values("cell"))
    cells = cells.where(~split, pd.Series(range(len(runs)), index=runs.index) + len(runs))
    groups = {group: runs[group] for group in GROUPS if group in runs}
    if "config.method.edited_from" in runs:  # else a run and its edit have equal names
        groups["method"] = groups["method"] + runs["config.method.edited_from"].map(
            lambda parent: f", edited from {parent[:SHOWN_KEY_DIGITS]}" if isinstance(parent, str) else ""
        )
    columns = {group: of for group, of in groups.items() if group == "dataset" or of.dropna().nunique() > 1}
    columns["dataset"] = names
    if split.any():
        columns["seed"] = runs["seed"]
    # selection.n is an axis of figure 5, where it may differ.
    differ = [key for _, key in differences(runs, AXES - {"selection.n"}) if key in values]
    versions = [key for key in dict.fromkeys(differ) if key.partition(".")[0] in ("code", "packages")]
    for key in dict.fromkeys([*versions, *sorted(differ)]):
        implied_by = [names, *([columns[group]] if (group := key.partition(".")[0]) in columns else [])]
        if values[key].groupby(implied_by).nunique().gt(1).any():
            columns[key] = values[key]
    # What is the same in all runs is said once, also of groups that do not differ.
    columns |= {group: of for group, of in groups.items() if group in SAID_ONCE and group not in columns}
    return cells, pd.DataFrame(columns, index=runs.index).fillna(UNKNOWN), [v for v in versions if v in columns]


def results_of(runs: pd.DataFrame, cells: pd.Series) -> pd.DataFrame:
    """Return the averages of each cell: scores, their deviation and seeds, programs, coverage and dollars.

    Args:
        runs: The finished runs.
        cells: The number of each run's cell.

    Returns:
        A row for each cell. Worst groups and gaps are columns if a run has groups.

    """
    metric = runs["config.dataset.metric"].where(runs["config.dataset.metric"].isin(SCORES), "accuracy")
    results = aggregate(pd.DataFrame({"cell": cells.to_numpy(), "run": runs.index}), runs, set(Quantity))
    own = results["score"] == results["cell"].map(dict(zip(cells, metric, strict=True)))
    of_groups = results[results["score"].isin(GROUP_SCORES)]
    by_group = of_groups.pivot(index="cell", columns=["quantity", "score"], values="mean")
    by_group = by_group.reindex(index=cells.unique(), columns=pd.MultiIndex.from_tuples(GROUP_COLUMNS.values()))
    by_group = by_group.set_axis([*GROUP_COLUMNS], axis=1).dropna(axis=1, how="all")
    results = results[(results["score"] == "") | own].pivot(index="cell", columns="quantity")
    results = results.reindex(index=cells.unique())

    several = runs["end_model.seeds"].map(len) > 1  # with one seed it is the distilled score again
    single = {
        name: _mean_of_cells(runs, cells, metric, path, where)
        for name, path, where in (
            ("ensemble", "end_model.ensemble.metrics.test", several),
            ("combined", "end_model.combined.metrics.test", several | True),
        )
    }

    def value(name: str, quantity: Quantity) -> pd.Series:
        """Return a quantity of each cell; NaN where no run of the cell has it."""
        found: pd.Series = results.get((name, quantity), pd.Series(np.nan, index=results.index))
        return found

    return pd.DataFrame(
        {
            "programs": value("mean", Quantity.PROGRAMS),
            "coverage": value("mean", Quantity.COVERAGE),
            "score": "",
            "split": "",
            "label model": value("mean", Quantity.LABEL_MODEL),
            "distilled": value("mean", Quantity.DISTILLED),
            "sd": value("sd", Quantity.DISTILLED),
            "n": value("n", Quantity.DISTILLED),
            **{name: means for name, means in single.items() if means.notna().any()},
            **by_group,
            Quantity.DOLLARS.value: value("mean", Quantity.DOLLARS),
        }
    )


def _mean_of_cells(runs: pd.DataFrame, cells: pd.Series, metric: pd.Series, path: str, where: pd.Series) -> pd.Series:
    """Return each cell's mean of the dataset's own score under a path of the record; NaN where no run has it."""
    own = pd.Series(np.nan, index=runs.index, dtype=object)
    for name in SCORES:
        own = own.mask(metric == name, runs.get(f"{path}.{name}", own))
    return pd.to_numeric(own, errors="coerce").where(where).groupby(cells, sort=False).mean()
