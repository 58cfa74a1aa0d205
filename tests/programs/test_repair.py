"""What an LLM may learn of the reason for a rejection: never a row."""

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.task import Task
from alchemist_exp.data.text_data import TextData
from alchemist_exp.programs.repair import HIDDEN, RowRedactor

TASK = Task(name="t", description="d", classes=("a", "b"), subject="text", relation="is", zero_shot_prompt="[text]")
SECRET = "Mr Smith of 12 Elm Street\n has   diabetes of type two"


@pytest.fixture(scope="module")
def hider() -> RowRedactor:
    table = {"train": datasets.Dataset.from_dict({"text": ["out of range", SECRET]})}
    return RowRedactor(TextData(task=TASK, table=datasets.DatasetDict(table)))


@pytest.mark.parametrize(
    "reason",
    [
        "ValueError: no such rule as 'diabetes of'",
        "3 exception on 50 probes; row 1: line 2: IndexError: list index out of bounds",
        "syntax error in line 4: expected ':'",
        "module 'nltk' is not allowed in a labeling program",
        "",
        "short",
    ],
)
def test_reasons_that_quote_nothing_stay_as_they_are(hider: RowRedactor, reason: str) -> None:
    assert hider.redact(reason) == reason


SPELLINGS = (str, str.lower, str.upper, repr, lambda text: str(text.split()), lambda text: text.replace(" ", "\u200c"))


@given(st.integers(0, 25), st.integers(25, 60), st.sampled_from(SPELLINGS))
def test_what_is_quoted_of_a_row_is_hidden_however_it_is_spelled(hider: RowRedactor, first, length, spelled) -> None:
    quoted = " ".join(SECRET.split())[first : first + length]
    shown = hider.redact(f"row 1: line 2: ValueError: no such rule as <<{spelled(quoted)}>>, sorry")
    assert HIDDEN in shown
    letters = "".join(filter(str.isalnum, shown.lower()))
    secret = "".join(filter(str.isalnum, SECRET.lower()))
    assert not any(secret[at : at + 18] in letters for at in range(len(secret) - 17))
    assert shown.startswith("row 1: line 2: ValueError: ")


@pytest.mark.parametrize("override", ["repair.attempts=-1", "repair.max_responses=0"])
def test_what_cannot_be_is_refused(composed, override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        config.build(composed(override))
