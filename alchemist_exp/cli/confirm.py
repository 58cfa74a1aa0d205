"""Asks before LLM calls are sent that have to be paid for."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.report import usd_text

if TYPE_CHECKING:
    from alchemist_exp.pipeline.experiment import Experiment
    from alchemist_exp.pipeline.plan import Plan


def may_send_calls(planned: Sequence[tuple["Experiment", "Plan"]], *, yes: bool) -> bool:
    """Ask on the terminal whether the calls of some runs may be sent.

    Args:
        planned: The runs and their plans. A response that several of them need is in the first plan only.
        yes: Whether the user has agreed already.

    Returns:
        Whether to go on; True without a question where nothing has to be paid.

    Raises:
        ConfigError: There is no terminal to ask at.

    """
    # Programs of cached responses may be rejected, and repairs are new calls.
    paid = [(run, plan) for run, plan in planned if run.uses("llm") and not run.llm.replays and plan.max_calls]
    if yes or not paid:
        return True
    least, most = sum(plan.calls for _, plan in paid), sum(plan.max_calls for _, plan in paid)
    models = " and ".join(dict.fromkeys(run.llm.model for run, _ in paid))
    calls = f"{least:,} to " if least < most else ""
    calls += f"{most:,} call{'s' * (most != 1)}"
    if not sys.stdin.isatty():
        raise ConfigError(
            f"{calls} to {models} would be paid for, and there is no terminal to ask at; nothing was sent: add --yes "
            "to send them."
        )
    costs = [plan.max_usd for _, plan in paid]
    limits = [] if None in costs else [sum(cost for cost in costs if cost is not None)]
    limits += [
        max(0.0, run.budget.usd - run.llm_client().spent_usd) for run, _ in paid[:1] if run.budget.usd is not None
    ]
    at_most = f", at most {usd_text(min(limits))}" if limits else ""
    print(f"Send {calls} to {single_line(models)}{at_most}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
