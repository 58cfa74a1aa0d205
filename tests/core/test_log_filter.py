import io
import logging
from collections.abc import Callable, Iterator

import pytest

from alchemist_exp.core.log_filter import ShownOnce


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Return the lines of a handler of the root logger that has the filter."""
    monkeypatch.setattr(ShownOnce, "_shown", set())
    handler = logging.StreamHandler(io.StringIO())
    handler.addFilter(ShownOnce())
    logging.root.addHandler(handler)
    yield lambda: handler.stream.getvalue().splitlines()
    logging.root.removeHandler(handler)


def test_a_message_that_its_package_shows_itself_is_not_shown_again(shown: Callable[[], list[str]]) -> None:
    own = io.StringIO()
    logging.getLogger("loud_package").addHandler(logging.StreamHandler(own))
    logging.getLogger("quiet_package").addHandler(logging.NullHandler())
    logging.getLogger("loud_package.part").warning("compiled")
    logging.getLogger("quiet_package.part").warning("heard")
    assert own.getvalue() == "compiled\n"
    assert shown() == ["heard"]


def test_a_repeated_message_of_another_package_is_shown_once_and_ours_each_time(
    shown: Callable[[], list[str]],
) -> None:
    for _ in range(2):
        logging.getLogger("other_package").warning("GPU available: %s", False)
        logging.getLogger("alchemist_exp.core.locks").warning("waiting")
    assert shown() == ["GPU available: False", "waiting", "waiting"]
