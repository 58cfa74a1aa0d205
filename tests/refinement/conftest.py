"""What the tests of rounds share."""

import pytest

from alchemist_exp import config
from alchemist_exp.prompts.templates import PromptTemplates


@pytest.fixture
def templates(composed) -> PromptTemplates:
    """Return the templates of prompt=paper."""
    return config.build(composed()).prompt
