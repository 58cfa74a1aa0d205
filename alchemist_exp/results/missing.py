"""What is missing from a table of the paper: which place, why, and the command that makes it."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from alchemist_exp.core.overrides import override
from alchemist_exp.results.filled_table import FilledTable
from alchemist_exp.results.paper_tables import TABLES
from alchemist_exp.results.report import MissingResult
from alchemist_exp.results.run_names import dataset_label
from alchemist_exp.results.runs import REPLICATES, RunState

_DEFAULTS = (("supplement", "none"), ("selection", "all"), ("label_model", "snorkel"))
"""Members that a command need not name."""


def missing_results(filled: FilledTable, outputs: Path) -> list[MissingResult]:
    """Return what a table needs and no finished run gives.

    Args:
        filled: The table.
        outputs: The outputs directory, for the commands.

    Returns:
        One for each set of runs that the table's sweep has, then one for each item that the sweep leaves out.

    """
    table, places = filled.table, filled.places
    runs = filled.of_places.join(filled.runs[["state", "error"]], on="run")
    of_place = dict(list(runs.groupby(["item", "measure", "dataset", "gold"], sort=False)))
    done = {key for key, rows in of_place.items() if (rows["state"] == RunState.DONE).any()}
    differ_in_label_model = len({measure.runs.get("label_model") for measure in table.measures.values()}) > 1
    found = {}
    for place, gold in ((place, gold) for place in places for gold in filled.golds):
        key = (*place[:3], gold)
        if place.item in table.optional or key in done or (repr(place.runs), gold) in found:
            continue
        last = of_place[key].iloc[-1] if key in of_place else None
        names = [dataset_label(place.dataset), table.items[place.item]]
        names += [place.runs.get("label_model", "")] * differ_in_label_model
        names += [f"gold={gold}"] * (len(filled.golds) > 1)
        found[repr(place.runs), gold] = MissingResult(
            place=", ".join(names),
            reason="no run, or its job could not start" if last is None else _state(last),
            command=_command(filled, place.runs, gold, outputs),
        )
    missing = [*found.values()]
    for item in table.optional:
        datasets = {place.dataset: None for place in places if place.item == item}
        for dataset in {key[2] for key in done if key[0] == item}:
            datasets.pop(dataset, None)
        if datasets:
            members = {"dataset": ",".join(datasets)} | {
                key: value for key, value in table.runs[item].items() if (key, value) not in _DEFAULTS
            }
            if members["method"] == "zero_shot":
                members = {"method": "zero_shot", "llm": "openai"} | members
            command = ["alchemist", "run", *["-m"] * (len(datasets) > 1)]
            command += [f"{key}={value}" for key, value in members.items()]
            reason = f"not part of the sweep, since {table.optional[item]}"
            unfinished = runs[(runs["item"] == item) & runs["dataset"].isin(datasets)]
            if len(datasets) == 1 and not unfinished.empty:
                reason = _state(unfinished.iloc[-1])
            missing.append(
                MissingResult(
                    place=f"{', '.join(map(dataset_label, datasets))}, {table.items[item]}",
                    reason=reason,
                    command=shlex.join([*command, f"paths.outputs={outputs}"]),
                    of_sweep=False,
                )
            )
    return missing


def _state(run: pd.Series) -> str:
    """Return the state of a run that has not finished, and its error."""
    return f"{run['state']}{': ' + run['error'] if run['error'] not in (None, run['state']) else ''}"


def _command(filled: FilledTable, members: Mapping[str, Any], gold: str, outputs: Path) -> str:
    """Return the command that makes a missing run, otherwise as the latest run of the same method was made."""
    finished = filled.finished
    like = finished[finished["method"] == members["method"]]
    like = finished if like.empty else like
    kept = [] if like.empty else [text for text in like["overrides"].iloc[-1] if _is_kept(text, like.iloc[-1], members)]
    kept = [text for text in kept if text.partition("=")[0] not in members]
    experiments = [text for text in kept if text.startswith("+experiment=")]
    if not experiments or experiments[0].partition("=")[2] in TABLES:
        kept = [f"+experiment={filled.name}", *(text for text in kept if text not in experiments)]
    if finished["seed"].nunique() == 1:
        kept.append(f"seed={finished['seed'].iloc[0]}")
    chosen = [f"{key}={value}" for key, value in members.items() if (key, value) != ("selection", "all")]
    if gold != "valid":
        chosen.append(f"gold={gold}")
    return shlex.join(["alchemist", "run", *kept, *chosen, override("paths.outputs", str(outputs))])


def _is_kept(override: str, run: pd.Series, members: Mapping[str, Any]) -> bool:
    """Return whether an override of `run` is needed for a run with other members too."""
    key = override.partition("=")[0]
    group = key.lstrip("+~").partition(".")[0]
    if group in ("dataset", "method", "supplement", "selection", "label_model"):
        same_member = members.get(group, run[group]) == run[group]
        return key == "dataset.limit" or ("." in key and same_member and key not in REPLICATES | {"selection.n"})
    return group not in ("gold", "seed", "paths", "force", "report", "hydra")
