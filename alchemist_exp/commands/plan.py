"""Says what a run, or each of a sweep, would ask its LLM and what that costs; asks nothing: `alchemist plan`.

Takes the overrides of `alchemist run`. A reply that several jobs of a sweep want is counted once, with the first.
"""

import sys
import tempfile

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.mistakes import exits_cleanly, shown
from alchemist_exp.results.console import Planned, show_plans

config.register()
_planned: list[Planned] = []


@hydra.main(version_base="1.3", config_path=config.folder(), config_name="config")
def job(cfg: DictConfig) -> None:
    """One job's plan."""
    from alchemist_exp.pipeline.costs import plan

    overrides = list(HydraConfig.get().overrides.task)
    with shown(overrides):
        experiment = config.build(cfg)
        experiment.dataset.check()
        asked_before = frozenset[str]().union(*(planned.plan.asked for planned in _planned))
        found = plan(experiment, experiment.dataset.load(), asked_before)
        _planned.append(Planned(name=" ".join(overrides) or "the main job", model=experiment.llm.model, plan=found))


@exits_cleanly
def main() -> None:
    """The command line. Every job is planned in this process, whatever launcher would run it, and nothing is kept."""
    given = [argument for argument in sys.argv[1:] if not argument.startswith("hydra/launcher=")]
    flags = [argument for argument in given if argument in ("-m", "--multirun")]
    rest = [argument for argument in given if argument not in flags]
    with tempfile.TemporaryDirectory() as notes:
        sys.argv[1:] = [*flags, *rest, "hydra/launcher=basic", f"hydra.sweep.dir={notes}"]
        job()
    if _planned:
        show_plans(_planned)


if __name__ == "__main__":
    main()
