"""Reads the values that a search chooses from, out of Hydra overrides.

Optuna is imported by the functions, because every command imports the package of sweeps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override

from alchemist_exp.core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FIXED_GROUPS: Final = (
    *("dataset", "gold", "seed", "experiment", "paths", "logger", "hydra", "sweep", "force", "report", "budget"),
)
"""Keys that a search does not choose: scores are compared on the same rows of valid, and others alter no score."""

_DIGITS: Final = 4
"""Significant digits of a real number that is chosen, so that values can be typed again."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What a search chooses, and what all of its jobs have.

    Attributes:
        distributions: The values that each key may have.
        fixed: The overrides with one value.

    """

    distributions: Mapping[str, "BaseDistribution"]
    fixed: tuple[str, ...]

    @property
    def size(self) -> float:
        """How many combinations there are; infinite with an interval of real numbers."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        size: float = 1
        for of_key in self.distributions.values():
            match of_key:
                case CategoricalDistribution():
                    size *= len(of_key.choices)
                case IntDistribution():
                    size *= of_key.high - of_key.low + 1
                case _:
                    return math.inf
        return size

    def overrides(self, params: Mapping[str, object]) -> tuple[str, ...]:
        """Return the overrides of a job.

        Args:
            params: The chosen value of each key.

        """
        from optuna.distributions import FloatDistribution

        chosen = []
        for key, of_key in self.distributions.items():
            text = str(params[key])
            if isinstance(of_key, FloatDistribution):
                rounded = float(f"{params[key]:.{_DIGITS}g}")
                text = repr(min(max(rounded, of_key.low), of_key.high))
            chosen.append(f"{key}={text}")
        return (*self.fixed, *chosen)


def read_search_space(arguments: Sequence[str]) -> SearchSpace:
    """Separate the overrides with several values from those with one.

    Args:
        arguments: Overrides such as "label_model.smoothing=1,10" or "end_model.learning_rate=interval(0.001,0.1)".

    Returns:
        The values to choose from, and the other overrides.

    Raises:
        ConfigError: No override has several values, or a search cannot choose a value of this key.
        HydraException: An override cannot be parsed.

    """
    distributions: dict[str, BaseDistribution] = {}
    fixed = []
    for text, override in zip(arguments, OverridesParser.create().parse_overrides([*arguments]), strict=True):
        key = override.get_key_element()
        if not override.is_sweep_override():
            fixed.append(text)
            distributions.pop(key, None)  # the command line replaces values of an experiment file
            continue
        if override.key_or_group.partition(".")[0].partition("/")[0] in FIXED_GROUPS:
            raise ConfigError(
                f"{text}: a search cannot choose {override.key_or_group}, because scores must be those of the same "
                "data, gold labels and seeds; give one value."
            )
        try:
            distributions[key] = _distribution(override)
        except ValueError as error:
            raise ConfigError(f"{text}: {str(error).rstrip('.')}; see docs/sweeps.md.") from error
    if not distributions:
        raise ConfigError(
            "a search needs a key with several values, as in 'end_model.learning_rate=interval(0.001,0.03)' or "
            "label_model.smoothing=1,10."
        )
    return SearchSpace(distributions=distributions, fixed=tuple(fixed))


def _distribution(override: Override) -> "BaseDistribution":
    """Return the values of an override: an interval of numbers, or a list.

    Raises:
        ValueError: The interval is empty, or has a tag that is not known.

    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if not isinstance(value, IntervalSweep):
        return CategoricalDistribution([*dict.fromkeys(override.sweep_string_iterator())])
    low, high = value.start, value.end
    if low is None or high is None or not math.isfinite(low) or not math.isfinite(high) or low >= high:
        raise ValueError(f"expected an interval from a number to a larger one, not from {low} to {high}")
    if unknown := value.tags - {"log"}:
        raise ValueError(f"the tag {sorted(unknown)[0]!r} is unknown; the only tag of a search is log")
    if value.tags and low <= 0:
        raise ValueError(f"an interval with the tag log has to begin above 0, not at {low}")
    log = "log" in value.tags
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)
