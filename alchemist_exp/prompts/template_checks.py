"""Checks of templates: those of `prompt` itself, and of a group such as `prompt.refine`."""

from collections.abc import Mapping, Sequence
from typing import Final

from alchemist_exp.core.errors import ConfigError, unknown_name

REQUIRED: Final = {
    "class_instruction": ("class", "index"),
    "variation": ("request", "programs"),
    "repair": ("request", "program", "reason"),
    "supplement": ("instruction",),
    "summary": ("passages", "instruction"),
    "exemplars": ("rows",),
    "exemplar_row": ("text", "class"),
    "passages": ("passages",),
    "passage": ("text",),
    "record_description": ("columns",),
    "record_column": ("name", "type"),
    "record_examples": ("values",),
    "concepts": ("quoted_classes",),
    "concepts_repair": ("request", "response", "reason"),
    "spurious": ("quoted_classes",),
    "score_task": ("descriptions",),
}
"""The placeholders without which a template would drop what it is for."""


def check_templates(
    group: str, templates: Mapping[str, str], known: Mapping[str, str], required: Mapping[str, Sequence[str]]
) -> None:
    """Check that each template is known and has the placeholders without which it says nothing.

    Args:
        group: The name of the group in `prompt`.
        templates: The templates by name.
        known: The default of each template.
        required: By template, the names of its placeholders that may not be left out.

    Raises:
        ConfigError: A template is unknown or missing, or a placeholder is missing.

    """
    for key in templates:
        if key not in known:
            raise ConfigError(unknown_name(f"the key of prompt.{group}", key, known))
    for key in known:
        if key not in templates:
            raise ConfigError(f"prompt.{group}.{key} is missing; add it as in conf/prompt/paper.yaml.")
        for name in required.get(key, ()):
            if f"[{name}]" not in templates[key]:
                raise ConfigError(f"prompt.{group}.{key} has no [{name}]; write [{name}] where it belongs.")
