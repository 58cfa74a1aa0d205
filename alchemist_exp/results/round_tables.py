"""The curve of rounds of improvement: a table for the console, and figures for the tracker."""

from rich.console import RenderableType
from rich.text import Text

from alchemist_exp.results.layout import heading, new_table, number_text
from alchemist_exp.results.record import Section
from alchemist_exp.results.report import UNKNOWN, usd_text

_SCORES = ("accuracy", "macro_f1")


def rounds_table(rounds: Section) -> list[RenderableType]:
    """Return the table of the rounds.

    Args:
        rounds: The record's section.

    Returns:
        A heading and a line per round, with the label model's scores; nothing without rounds.

    """
    if not rounds:
        return []
    # Valid first: the rounds are decided by it, and a curve on test would invite to choose by test.
    split = next((split for split in ("valid", "test", "train") if rounds["list"][0]["metrics"].get(split)), None)
    on = f" on {split}" if split else ""
    table = new_table(
        "", "LLM calls", "list price", "joined", "left out", "programs", "coverage", f"accuracy{on}", "macro F1"
    )
    for one in rounds["list"]:
        scores = one["metrics"].get(split) or {}
        accepted, dropped = {p["id"] for p in one["accepted"]}, {p["id"] for p in one["left_out"]}
        table.add_row(
            f"round {one['round']}" if one["round"] else "first programs",
            f"{one['calls']:,}" if one["round"] else UNKNOWN,
            usd_text(one["list_price_usd"]) if one["round"] else UNKNOWN,
            str(len(accepted - dropped)) if one["round"] else UNKNOWN,
            str(len(dropped)) if one["round"] else UNKNOWN,
            str(one["programs"]),
            number_text(one["coverage"].get("train")),
            *(number_text(scores.get(name)) for name in _SCORES),
            style="yellow" if one["reverted"] else "",
        )
    return [heading("Rounds", "scores of the label model"), table, Text(f"ended: {rounds['stopped']}")]


def round_metrics(rounds: Section) -> list[dict[str, float]]:
    """Return the figures of each round for the tracker.

    Args:
        rounds: The record's section.

    Returns:
        Values by name, such as "rounds/coverage" and "rounds/test/macro_f1", for round 0, 1 and so on.

    """
    metrics = []
    for one in rounds.get("list", []):
        values: dict[str, float] = {"rounds/programs": one["programs"]}
        values |= {f"rounds/coverage/{split}": share for split, share in one["coverage"].items()}
        values |= {
            f"rounds/{split}/{name}": scores[name]
            for split, scores in one["metrics"].items()
            if scores
            for name in _SCORES
        }
        metrics.append(values)
    return metrics
