"""The templates of requests for programs that return several classes (dataset.multi_label=true)."""

from collections.abc import Mapping
from typing import Final

from alchemist_exp.core.errors import ConfigError, unknown_name

MULTI_LABEL_TEMPLATES: Final = {
    "class_instruction": "If the [subject] [relation] [class], the list that the function returns contains [index].",
    "set_instruction": "Several of the classes may hold for one [subject], and then the list contains the index of "
    "each of them. If none of the classes holds, the list is empty.",
    "abstain_instruction": "If the classes of the [subject] cannot be determined, the function returns -1 instead of a "
    "list.",
    "signature": "def label_function([parameter]: [annotation]) -> list[int]:",
}
"""The default of each template of `prompt.multi_label`; conf/prompt/paper.yaml explains them."""

_REQUIRED: Final = {"class_instruction": ("class", "index")}


def check_multi_label_templates(templates: Mapping[str, str]) -> None:
    """Check that each template is known and has the placeholders without which it says nothing.

    Args:
        templates: The templates by name.

    Raises:
        ConfigError: A template is unknown or missing, or a placeholder is missing.

    """
    for key in templates:
        if key not in MULTI_LABEL_TEMPLATES:
            raise ConfigError(unknown_name("the key of prompt.multi_label", key, MULTI_LABEL_TEMPLATES))
    for key in MULTI_LABEL_TEMPLATES:
        if key not in templates:
            raise ConfigError(f"prompt.multi_label.{key} is missing; add it as in conf/prompt/paper.yaml.")
        for name in _REQUIRED.get(key, ()):
            if f"[{name}]" not in templates[key]:
                raise ConfigError(f"prompt.multi_label.{key} has no [{name}]; write [{name}] where it belongs.")
