"""What is missing from a table: which place, why, and the command that would fill it."""

import itertools
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alchemist_exp.results.filled import Filled
from alchemist_exp.results.report import Gap
from alchemist_exp.results.runs import GROUPS, Run, State
from alchemist_exp.results.tables import TABLES, Place


def gaps(filled: Filled, outputs: Path) -> Iterator[Gap]:
    """A gap for each set of runs that the sweep wants and that has not finished, then one for what it leaves out."""
    told = set()
    for place, gold in itertools.product(filled.places, filled.golds):
        runs = filled.runs_of(place, gold)
        if place.item in filled.table.optional or (repr(place.runs), gold) in told:
            continue
        told.add((repr(place.runs), gold))
        if any(run.state is State.DONE for run in runs):
            continue
        last = runs[-1] if runs else None
        why = (
            "missing, or it could not start"
            if last is None
            else last.state.value + (f": {last.error}" if last.error else "")
        )
        item = filled.table.items[place.item]
        also = f", gold={gold}" if len(filled.golds) > 1 else ""
        name = f"{place.dataset}, {item.label}{_of_measure(filled, place)}{also}"
        yield Gap(place=name, why=why, command=_command(filled, place.runs, gold, outputs))
    yield from _not_swept(filled, outputs)


def _not_swept(filled: Filled, outputs: Path) -> Iterator[Gap]:
    """One gap for all datasets of each item that the sweep leaves out, where none of it has been run."""
    for name in filled.table.optional:
        wanted = [place for place in filled.places if place.item == name]
        lacking = [
            place.dataset
            for place in wanted
            if not any(run.state is State.DONE for gold in filled.golds for run in filled.runs_of(place, gold))
        ]
        if lacking:
            datasets = list(dict.fromkeys(lacking))
            command = ["alchemist", "run", "-m", "method=zero_shot", "llm=openai", f"dataset={','.join(datasets)}"]
            yield Gap(
                place=f"{', '.join(datasets)}, {filled.table.items[name].label}",
                why="not part of the sweep, since it asks an LLM for every row (alchemist plan says what that costs)",
                command=shlex.join([*command, f"paths.outputs={outputs}"]),
            )


def _of_measure(filled: Filled, place: Place) -> str:
    """The label model, where the places of an item differ in it."""
    models = {measure.runs.get("label_model") for measure in filled.table.measures.values()}
    return f", {place.runs['label_model']}" if len(models) > 1 else ""


def _command(filled: Filled, members: Mapping[str, Any], gold: str, outputs: Path) -> str:
    """Runs what is missing, otherwise as the latest run of the same method was run."""
    done = filled.finished
    alike = [run for run in done if run.member("method") == members["method"]] or done
    kept = [] if not alike else [text for text in alike[-1].overrides if _is_kept(text, alike[-1], members)]
    experiments = [text for text in kept if text.startswith("+experiment=")]
    if not experiments or experiments[0].partition("=")[2] in TABLES:
        kept = [f"+experiment={filled.name}", *(text for text in kept if text not in experiments)]
    seeds = {run.member("seed") for run in done}
    if len(seeds) == 1:  # like its neighbours
        kept.append(f"seed={seeds.pop()}")
    chosen = [f"{key}={value}" for key, value in members.items() if (key, value) != ("selection", "all")]
    if gold != "valid":
        chosen.append(f"gold={gold}")
    return shlex.join(["alchemist", "run", *kept, *chosen, f"paths.outputs={outputs}"])


def _is_kept(override: str, run: Run, members: Mapping[str, Any]) -> bool:
    key = override.partition("=")[0]
    group = key.lstrip("+~").partition(".")[0]
    if group in GROUPS:
        same = run.member(group) == members.get(group, run.member(group))
        return key == "dataset.limit" or ("." in key and same and key not in ("selection.n", "selection.seed"))
    return group not in ("gold", "seed", "paths", "force", "hydra")
