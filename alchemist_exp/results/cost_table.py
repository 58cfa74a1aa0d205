"""The table of what programs and zero-shot labeling cost."""

from rich.console import RenderableType
from rich.text import Text

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.results.layout import counts_text, heading, new_table
from alchemist_exp.results.record import Section
from alchemist_exp.results.report import UNKNOWN, usd_text


def cost_table(cost: Section, method: str, compared: str) -> list[RenderableType]:
    """Return what programs and zero-shot labeling cost at the same price, and what the run spent on one of them.

    Args:
        cost: The section of the record.
        method: The name of the run's method.
        compared: What is compared with zero-shot labeling: programs, or the name of a method without programs.

    """
    estimate, by_rows = cost["break_even"], method == "zero_shot"
    replayed = " (replayed)" if cost["replayed"] and cost["calls"] else ""
    spent = usd_text(cost["spent_usd"])
    table = new_table("", "LLM calls", "list price", "spent")
    for what, calls, usd, of_run in (
        (f"{'programs' if by_rows else sanitize(compared)}{replayed}", "programs_calls", "programs_usd", not by_rows),
        ("zero-shot labeling", "zero_shot_calls", "zero_shot_usd", by_rows),
        ("zero-shot labeling, batch API", "zero_shot_calls", "zero_shot_batch_usd", False),
    ):
        if calls == "programs_calls" or (estimate[calls] if usd == "zero_shot_usd" else estimate[usd] is not None):
            table.add_row(what, f"{estimate[calls]:,}", usd_text(estimate[usd]), spent if of_run else UNKNOWN)
    prices = f"prices: {estimate['price_as_of']}" if estimate["price_as_of"] else "the price of this model is not known"
    lines = []
    if estimate["rows_from"] is not None:
        batch = estimate["rows_from_batch"]
        by_batch = "" if batch is None else f" ({batch:,} by the batch API)"
        lines.append(f"programs cost less than zero-shot labeling from {estimate['rows_from']:,} rows on{by_batch}")
    tokens = []
    if cost["input_tokens"]:
        counted = f"estimated {cost['estimated_input_tokens']:,}, {cost['cached_tokens']:,} from the provider's cache"
        tokens.append(f"{cost['input_tokens']:,} tokens in ({counted})")
        tokens.append(f"{cost['output_tokens']:,} out ({cost['reasoning_tokens']:,} of reasoning)")
    if cost["cached_calls"]:
        tokens.append(f"{cost['cached_calls']:,} of the responses were in the cache")
    if cost["incomplete"]:
        tokens.append(counts_text(cost["incomplete"]))
    if tokens:
        lines.append(", ".join(tokens))
    return [heading("Cost", f"{estimate['basis']}; {prices}"), table, *map(Text, lines)]
