"""Alchemist: label datasets with programs an LLM writes, weigh their votes, distil a small model.

The names in `__all__` are the public API. Each is imported on its first use, so `import alchemist_exp` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alchemist_exp.core.component import Component, component
    from alchemist_exp.core.errors import (
        AlchemistError,
        ConfigError,
        DataError,
        LLMError,
        ProgramsError,
        SandboxError,
        StoreError,
    )
    from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels, Split
    from alchemist_exp.label_models.accuracy_weighted import AccuracyWeighted
    from alchemist_exp.label_models.auto import Auto
    from alchemist_exp.label_models.base import (
        LabeledVotes,
        LabelModel,
        class_balance_from_gold,
        class_balance_from_votes,
    )
    from alchemist_exp.label_models.dawid_skene import DawidSkene, OneCoin
    from alchemist_exp.label_models.diagnostics import diagnose
    from alchemist_exp.label_models.flyingsquid import FlyingSquid
    from alchemist_exp.label_models.majority import Majority, WeightedMajority
    from alchemist_exp.label_models.snorkel import Snorkel
    from alchemist_exp.label_models.stacked import Stacked
    from alchemist_exp.library import apply, load_component, read_record, run
    from alchemist_exp.pipeline.run import RunResult
    from alchemist_exp.results.record import RunRecord
    from alchemist_exp.results.runs import load_runs

__version__ = "0.1.0"

__all__ = [
    "ABSTAIN",
    "AccuracyWeighted",
    "AlchemistError",
    "Auto",
    "Component",
    "ConfigError",
    "DataError",
    "DawidSkene",
    "FlyingSquid",
    "LLMError",
    "LabelMatrix",
    "LabelModel",
    "LabeledVotes",
    "Majority",
    "OneCoin",
    "ProgramsError",
    "RunRecord",
    "RunResult",
    "SandboxError",
    "Snorkel",
    "SoftLabels",
    "Split",
    "Stacked",
    "StoreError",
    "WeightedMajority",
    "__version__",
    "apply",
    "class_balance_from_gold",
    "class_balance_from_votes",
    "component",
    "diagnose",
    "load_component",
    "load_runs",
    "read_record",
    "run",
]

_MODULES = {
    "core.component": ("Component", "component"),
    "core.errors": (
        "AlchemistError", "ConfigError", "DataError", "LLMError", "ProgramsError", "SandboxError", "StoreError",
    ),
    "core.types": ("ABSTAIN", "LabelMatrix", "SoftLabels", "Split"),
    "label_models.accuracy_weighted": ("AccuracyWeighted",),
    "label_models.auto": ("Auto",),
    "label_models.base": ("LabelModel", "LabeledVotes", "class_balance_from_gold", "class_balance_from_votes"),
    "label_models.dawid_skene": ("DawidSkene", "OneCoin"),
    "label_models.diagnostics": ("diagnose",),
    "label_models.flyingsquid": ("FlyingSquid",),
    "label_models.majority": ("Majority", "WeightedMajority"),
    "label_models.snorkel": ("Snorkel",),
    "label_models.stacked": ("Stacked",),
    "library": ("apply", "load_component", "read_record", "run"),
    "pipeline.run": ("RunResult",),
    "results.record": ("RunRecord",),
    "results.runs": ("load_runs",),
}  # fmt: skip
"""The module, below this package, that each public name is imported from."""


def __getattr__(name: str) -> object:
    """Import a public name on its first use.

    Raises:
        AttributeError: It is not a public name.

    """
    for module, names in _MODULES.items():
        if name in names:
            value: object = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names too, also before their first use."""
    return sorted({*globals(), *__all__})
