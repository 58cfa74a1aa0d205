"""The class names of a run of another person are checked."""

from pathlib import Path

import pytest

from alchemist_exp.core.errors import StoreError
from alchemist_exp.labeling.run_files import checked_classes


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([f"c{i}" for i in range(63)], "it has 63 classes; expected 2 to 62"),
        (["a|b", "c"], "its class 'a|b' has | or a control character"),
        (["a", "\x1b[2J"], r"its class '\x1b[2J' has | or a control character"),
    ],
)
def test_classes_that_sets_cannot_have_are_refused(classes: list[str], expected: str) -> None:
    assert checked_classes(classes, Path("record.json")) == tuple(classes)
    with pytest.raises(StoreError) as error:
        checked_classes(classes, Path("record.json"), multi_label=True)
    assert expected in str(error.value)
