"""Says what a run, or each of a sweep, would ask its LLM and what that costs; asks nothing: `alchemist plan`.

Takes the overrides of `alchemist run`. A reply that several jobs of a sweep want is counted once, with the first.
"""

import sys
import tempfile

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.config_errors import exits_cleanly, flags_first, shown
from alchemist_exp.results.console import Planned, show_plans

USAGE = """\
alchemist plan [overrides]: what `alchemist run` with the same overrides would ask its LLM, and what that costs.

  alchemist plan llm=openai                         ten programs
  alchemist plan llm=openai method=zero_shot        a question for every row
  alchemist plan -m llm=openai dataset=youtube,sms  each job of a sweep, replies they share counted once

Asks nothing and needs no key. calls: requests that are not in the cache; equal texts are asked once. cost: with replies
of the length that is usual; if long: with replies as long as they may be. zero-shot: asking for every training row
instead, and by a batch API. pays from: the number of rows from which programs are cheaper than that.
Groups and keys: alchemist run --help
"""

_planned: list[Planned] = []


@hydra.main(version_base="1.3", config_path=config.config_dir(), config_name="config")
def job(cfg: DictConfig) -> None:
    """One job's plan."""
    from alchemist_exp.pipeline.plan import plan

    overrides = list(HydraConfig.get().overrides.task)
    with shown(overrides):
        config.check_interpolated_overrides(cfg, overrides)
        experiment = config.build(cfg)
        asked_before = frozenset[str]().union(*(planned.plan.asked for planned in _planned))
        found = plan(experiment, experiment.dataset.load(), asked_before)
        _planned.append(Planned(model=experiment.llm.model, plan=found))


@exits_cleanly
def main() -> None:
    """The command line. Every job is planned in this process, whatever launcher would run it, and nothing is kept."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(USAGE, end="")
        return
    given = [argument for argument in sys.argv[1:] if not argument.startswith("hydra/launcher=")]
    with tempfile.TemporaryDirectory() as notes:
        sys.argv[1:] = flags_first([*given, "hydra/launcher=basic", f"hydra.sweep.dir={notes}"])
        job()
    if _planned:
        show_plans(_planned)


if __name__ == "__main__":
    main()
