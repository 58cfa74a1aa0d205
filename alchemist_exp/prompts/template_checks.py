"""The check of a group of templates, such as `prompt.refine`."""

from collections.abc import Mapping, Sequence

from alchemist_exp.core.errors import ConfigError, unknown_name


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
