"""The sweepers of alchemist_exp for Hydra, which requires that its plugins are in the namespace package hydra_plugins.

Hydra imports this module in every Hydra application of the environment, so it imports alchemist_exp only in a sweep.
"""

from collections.abc import Mapping
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class ResumeSweeper(BasicSweeper):
    """Run every job of a sweep that has no finished run yet, on any launcher (conf/hydra/sweeper/resume.yaml)."""

    def __init__(
        self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None, resume: bool = True
    ) -> None:
        """Keep the values of the sweeper's YAML, which Hydra passes by name."""
        super().__init__(max_batch_size=max_batch_size, params=dict(params or {}))
        self.resume = resume

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep.

        Args:
            arguments: The overrides of the command line.

        Returns:
            The result of each job that the launcher got; a failed job raises nothing.

        """
        from alchemist_exp.sweeps.sweep import run_sweep

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        return run_sweep(
            [*self._parse_config(), *arguments],
            config=self.config,
            context=self.hydra_context,
            launcher=self.launcher,
            batch_size=self.max_batch_size,
            resume=self.resume,
        )


class OptunaSweeper(BasicSweeper):
    """Search for the values with the highest score on valid (conf/hydra/sweeper/optuna.yaml)."""

    def __init__(self, n_trials: int, batch_size: int, seed: int, params: Mapping[str, str] | None = None) -> None:
        """Keep the values of the sweeper's YAML, which Hydra passes by name."""
        super().__init__(max_batch_size=None, params=dict(params or {}))
        self.settings = {"n_trials": n_trials, "batch_size": batch_size, "seed": seed}

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search.

        Args:
            arguments: The overrides of the command line.

        Returns:
            The result of each job that the launcher got; a failed job raises nothing.

        """
        from alchemist_exp.sweeps.search import SearchSettings, run_search

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        return run_search(
            [*self._parse_config(), *arguments],
            config=self.config,
            context=self.hydra_context,
            launcher=self.launcher,
            settings=SearchSettings(**self.settings),
        )
