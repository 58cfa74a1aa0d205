"""One figure from the runs that belong into one place, and the refusal of runs that were not made alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.results.runs import Figures, Run, as_text
from alchemist_exp.results.tables import Quantity


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What stands in a place. std: over n seeds (of the end model, or of the drawing of programs), None for one."""

    mean: float
    std: float | None = None
    n: int = 1


def figure_text(found: Figure, decimals: int = 3) -> str:
    """The mean, and the standard deviation where there is one."""
    mean = f"{found.mean:,.{decimals}f}"
    return mean if found.std is None else f"{mean} ± {found.std:.{decimals}f}"


def figure(quantity: Quantity, runs: Sequence[Run], score: str) -> Figure | None:
    """The figure of runs that differ in seeds alone; None where none of them has it. ConfigError when they disagree."""
    if quantity in (Quantity.LABEL_MODEL, Quantity.DISTILLED):
        return over_seeds(quantity, runs, score)
    known: dict[float, Run] = {}
    for run in runs:
        if (value := _single(quantity, run.figures, zero_shot=run.member("method") == "zero_shot")) is not None:
            known[value] = run
    if len(known) > 1 and quantity is not Quantity.DOLLARS:
        raise ConfigError(_disagreement(quantity, *list(known.values())[:2]))
    return Figure(mean=max(known)) if known else None


def _single(quantity: Quantity, figures: Figures | None, *, zero_shot: bool) -> float | None:
    if figures is None:
        return None
    match quantity:
        case Quantity.PROGRAMS:
            return figures.programs
        case Quantity.COVERAGE:
            return figures.coverage
        case _:
            return figures.zero_shot_usd if zero_shot else figures.programs_usd


def over_seeds(quantity: Quantity, runs: Sequence[Run], score: str) -> Figure | None:
    """Mean and sample standard deviation of a test score over seeds, each of which counts once."""
    values: dict[object, tuple[float, Run]] = {}
    for run in runs:
        for seed, value in _per_seed(quantity, run, score):
            earlier = values.setdefault(seed, (value, run))
            if earlier[0] != value:
                raise ConfigError(_disagreement(quantity, earlier[1], run, seed))
    if not values:
        return None
    scores = [value for value, _ in values.values()]
    std = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return Figure(mean=float(np.mean(scores)), std=std, n=len(scores))


def _per_seed(quantity: Quantity, run: Run, score: str) -> list[tuple[object, float]]:
    if run.figures is None:
        return []
    if quantity is Quantity.DISTILLED:
        return list(run.figures.distilled.get(score, {}).items())
    # A label model's score does not depend on the end model's seed, so runs that differ in it count once.
    scores = run.figures.label_model
    return [] if scores is None else [(run.values.get("selection.seed"), scores[score])]


def _disagreement(quantity: Quantity, one: Run, other: Run, seed: object = None) -> str:
    of_seed = "" if seed is None else f" of seed {seed}"
    return (
        f"the runs {one.key} and {other.key} are alike and differ in their {quantity.value}{of_seed}; choose with a "
        f"filter, as in seed={one.member('seed')}, or delete the one that is not to count."
    )


def refuse_mixed(runs: Sequence[Run], what: str) -> None:
    """ConfigError, naming the difference and the cure, when runs would be compared that were not made alike."""
    differing = differences(runs)
    if not differing:
        return
    (among, key), values = next(iter(differing.items()))
    newest_first = sorted(values.items(), key=lambda value: _newest(value[1]), reverse=True)
    shown = " and ".join(
        f"{text[:60]} ({len(having)} run{'s' * (len(having) > 1)}, the last of {_newest(having)})"
        for text, having in newest_first[:3]
    )
    others = sorted({other for _, other in differing} - {key})
    more = f" They differ in {', '.join(others[:5])}{', ...' if len(others) > 5 else ''} too." if others else ""
    of = f" of {among}" if among else ""
    raise ConfigError(
        f"{what} would mix runs{of} that differ in {key}: {shown}; run the others again, or choose with "
        f"{key}={newest_first[0][0][:60]}.{more}"
    )


def differences(runs: Sequence[Run]) -> dict[tuple[str, str], dict[str, list[Run]]]:
    """(among whom, key) -> value -> the runs that have it, for all in which runs differ that should agree.

    The program's version comes first, then its packages and the data, since these alter everything else.
    """
    seen: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in runs:
        for key, value in run.settings().items():
            seen.setdefault((run.among(key), key), {}).setdefault(as_text(value), []).append(run)
    first = ("code", "packages", "data")
    order = sorted(seen, key=lambda at: (first.index(group) if (group := at[1].split(".")[0]) in first else 3, at))
    return {at: seen[at] for at in order if len(seen[at]) > 1}


def _newest(runs: Sequence[Run]) -> str:
    """When the last of them began, to the second in UTC."""
    return max(run.at for run in runs)[:19]
