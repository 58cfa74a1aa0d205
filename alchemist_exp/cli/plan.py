"""`alchemist plan`: shows what a run, or each job of a sweep, would ask its LLM and what that costs, without asking.

It takes the overrides of `alchemist run`. A response that several jobs of a sweep need is counted once, with the first.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from rich.text import Text

from alchemist_exp import config
from alchemist_exp.cli.hydra_command import exits_cleanly, shown
from alchemist_exp.cli.sweep import visit_jobs
from alchemist_exp.config_checks import check_interpolated_overrides
from alchemist_exp.results.layout import heading, new_console, new_table
from alchemist_exp.results.report import UNKNOWN, usd_text

if TYPE_CHECKING:
    from alchemist_exp.pipeline.plan import Plan

USAGE = """\
alchemist plan [overrides]: what `alchemist run` with the same overrides would ask its LLM, and what that costs.

  alchemist plan llm=openai                         ten programs
  alchemist plan llm=openai method=zero_shot        one question for every row
  alchemist plan -m llm=openai dataset=youtube,sms  each job of a sweep; responses they share are counted once

Makes no LLM call and needs no API key. calls: requests that are not in the cache, equal ones counted once. cost: with
responses of the usual length; if long: with responses as long as they may be. zero-shot: the cost of a question for
every training row instead, and of the same by a batch API. pays from: the number of rows from which programs are
cheaper than that. Groups and keys: alchemist run --help
"""


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """The plan of one job of a sweep, and its LLM's model."""

    model: str
    plan: "Plan"


@exits_cleanly
def main() -> None:
    """Print the plan of each job of the command line in sys.argv."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(USAGE, end="")
        return
    plans: list[JobPlan] = []

    def _visit(cfg: DictConfig, overrides: list[str]) -> None:
        from alchemist_exp.pipeline.plan import plan

        with shown(overrides):
            check_interpolated_overrides(cfg, overrides)
            experiment = config.build(cfg)
            asked_before = frozenset[str]().union(*(earlier.plan.asked for earlier in plans))
            found = plan(experiment, experiment.dataset.load(), asked_before)
            plans.append(JobPlan(model=experiment.llm.model, plan=found))

    visit_jobs(sys.argv[1:], _visit)
    if plans:
        show_plans(plans)


def show_plans(jobs: Sequence[JobPlan]) -> None:
    """Print what each job would ask and cost, and the sum.

    Args:
        jobs: The jobs, in the order and with the numbers in which Hydra lists them.

    """
    sweep = len(jobs) > 1
    names = ("calls", "cached", "tokens in", "out", "cost", "if long", "zero-shot", "by batch", "pays from")
    table = new_table(*["#"] * sweep, *names)
    for number, job in enumerate(jobs):
        plan, estimate = job.plan, job.plan.break_even
        batch = estimate.zero_shot_batch_usd
        table.add_row(
            *[f"#{number}"] * sweep,
            f"{plan.calls:,}" + (f" to {plan.max_calls:,}" if plan.max_calls > plan.calls else ""),
            f"{plan.cached_calls:,}",
            f"{plan.usage.input_tokens:,}",
            f"{plan.usage.output_tokens:,}",
            usd_text(plan.usd),
            usd_text(plan.max_usd),
            usd_text(estimate.zero_shot_usd) if estimate.zero_shot_calls else UNKNOWN,
            UNKNOWN if batch is None else usd_text(batch),
            UNKNOWN if estimate.rows_from is None else f"{estimate.rows_from:,} rows",
        )
    if sweep:
        calls, cached = sum(job.plan.calls for job in jobs), sum(job.plan.cached_calls for job in jobs)
        dollars = [[job.plan.usd for job in jobs], [job.plan.max_usd for job in jobs]]
        sums = (usd_text(None if None in costs else sum(filter(None, costs))) for costs in dollars)
        table.add_row("all", f"{calls:,}", f"{cached:,}", "", "", *sums, "", "", "", style="bold")
    console = new_console()
    if console.width < 100:
        table.padding = (0, 1, 0, 0)  # one space between columns, so that 80 columns need no broken words
    console.print(heading("Plan", "no LLM call was made"), table)
    estimates = ((job.model, job.plan.break_even) for job in jobs)
    bases = [f"{model}: {one.basis}; prices: {one.price_as_of or 'not known'}" for model, one in estimates]
    lengths = (
        "cost, pays from: usual response length, without reasoning (a run counts its own responses, so its numbers "
        "differ); if long: maximal response length, all repairs used"
    )
    for line in dict.fromkeys([*bases, lengths]):
        console.print(Text(line, style="dim"))
    for warning in dict.fromkeys(warning for job in jobs for warning in job.plan.warnings):
        console.print(Text(f"! {warning}", style="yellow"))
    console.print()
