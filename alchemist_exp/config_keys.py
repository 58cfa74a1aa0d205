"""The keys of the configuration: those of each schema, their types, and the names of keys of earlier versions."""

from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from alchemist_exp.core.component import REGISTRY
from alchemist_exp.llm.budget import Budget
from alchemist_exp.llm.types import Price
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.settings import Paths, SweepSettings

RENAMED_KEYS = {
    "llm.pack": "llm.recording",
    "llm.counted_by": "llm.tokenizer",
    "llm.card": "llm.spec",
    "dataset.task": "dataset.prompt",
    "dataset.zero_shot": "dataset.zero_shot_prompt",
    "supplement.draw": "supplement.sampling",
    "supplement.top": "supplement.top_k",
    "vetting.probes": "vetting.n_probe_rows",
    "vetting.read_source": "vetting.check_source",
    "vetting.reject_copies": "vetting.reject_duplicates",
    "vetting.max_faults": "vetting.max_failure_rate",
    "repair.max_replies": "repair.max_responses",
    "method.advice": "method.performance_hint",
    "feature_extractor.dimensions": "feature_extractor.n_components",
    "feature_extractor.longest_phrase": "feature_extractor.max_ngram",
    "feature_extractor.max_terms": "feature_extractor.max_features",
    "label_model.epochs": "label_model.max_iterations",
}
"""Configuration keys of version 0.1.0 and their names today; an old key is refused with its new name."""


REMOVED_KEYS = {
    "label_model.learning_rate": "the fit of label_model=snorkel ends at label_model.tolerance",
    "label_model.l2": "label_model.prior_strengths, in votes, sets the pull towards the prior of label_model=snorkel",
    "label_model.seed": "the fit of label_model=snorkel is deterministic",
}
"""Configuration keys of version 0.1.0 without a successor, and why."""


def explain_outdated_key(key: str) -> str | None:
    """Return what replaces a key of an earlier version, in one sentence; None for any other key.

    Args:
        key: The key, such as "llm.pack".

    """
    if renamed := RENAMED_KEYS.get(key):
        return f"{key} is now called {renamed}; write {renamed}=..."
    if why := REMOVED_KEYS.get(key):
        return f"{key} no longer exists: {why}; leave it out."
    return None


def known_keys(schema_name: str) -> list[str]:
    """Return the keys of a schema, for an error message about an unknown key.

    Args:
        schema_name: The name of the class, as Hydra's messages have it.

    Returns:
        The names of its fields; empty when there is no such class.

    """
    others: list[type[Any]] = [Experiment, Paths, Price, Budget, SweepSettings]
    classes = others + [schema for schemas in REGISTRY.values() for schema in schemas.values()]
    return [f.name for cls in classes if cls.__name__ == schema_name for f in fields(cls)]


def is_list(key: str) -> bool:
    """Return whether a key of a component has a list as its value.

    Args:
        key: A configuration key, as in dataset.classes.

    Returns:
        False also for a key that does not exist.

    """
    return any(get_origin(kind) is list for kind in _types(key))


def keys_of_mapping(key: str) -> list[str]:
    """Return the names in the mapping that is the value of a key, as in llm.price; none for another kind of value.

    Args:
        key: A configuration key.

    """
    return [f.name for kind in _types(key) if is_dataclass(kind) for f in fields(kind)]


def _types(key: str) -> set[Any]:
    """Return the types that a key of a component may have, None not included."""
    group, _, name = key.partition(".")
    hints = {get_type_hints(schema).get(name) for schema in REGISTRY.get(group, {}).values()} - {None}
    return {kind for hint in hints for kind in (hint, *get_args(hint))}


def how_to_name_a_schema(group: str) -> str:
    """Return how a YAML file names its schema, for an error message.

    Args:
        group: The group of the file.

    Returns:
        The end of a sentence, with the schemas of the group.

    """
    known = ", ".join(f"_{name}" for name in sorted(REGISTRY.get(group, {})))
    return f"begin the file with defaults: [_NAME, _self_], where _NAME is one of {known}"
