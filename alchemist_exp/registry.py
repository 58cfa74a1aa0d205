"""Finds the components of every configuration group."""

from collections.abc import Mapping
from importlib import import_module

from alchemist_exp.core.component import REGISTRY, Component

BUILT_IN = (
    "alchemist_exp.data.files",
    "alchemist_exp.end_model.mlp",
    "alchemist_exp.features.tfidf",
    "alchemist_exp.features.transformer",
    "alchemist_exp.label_models.accuracy_weighted",
    "alchemist_exp.label_models.dawid_skene",
    "alchemist_exp.label_models.flyingsquid",
    "alchemist_exp.label_models.majority",
    "alchemist_exp.label_models.snorkel",
    "alchemist_exp.llm.providers.anthropic",
    "alchemist_exp.llm.providers.openai",
    "alchemist_exp.llm.providers.recorded",
    "alchemist_exp.methods.human",
    "alchemist_exp.methods.programs",
    "alchemist_exp.methods.zero_shot",
    "alchemist_exp.pipeline.experiment",
    "alchemist_exp.programs.repair",
    "alchemist_exp.programs.selection",
    "alchemist_exp.programs.vetting",
    "alchemist_exp.sandbox.modes",
    "alchemist_exp.supplements.exemplars",
    "alchemist_exp.supplements.mixed",
    "alchemist_exp.supplements.rag",
    "alchemist_exp.supplements.written",
    "alchemist_exp.tracking.csv_files",
    "alchemist_exp.tracking.none",
    "alchemist_exp.tracking.wandb_run",
)
"""The modules of this package that register components; importing them loads neither torch nor a provider's client."""


def components() -> Mapping[str, Mapping[str, type[Component]]]:
    """Return the registered component classes by group and name.

    Returns:
        For each configuration group, a mapping of the names given to `@component` to the classes.

    """
    for module in BUILT_IN:
        import_module(module)
    return REGISTRY
