"""Makes texts of other people safe in a Markdown file: they are shown as they are, and are never markup."""

import re
from collections.abc import Iterable, Sequence

from alchemist_exp.core.terminal import sanitize

_MARKUP = re.compile(r"([\\`*\[\]<>|&#!~$@]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|^[-+=])")
"""What can begin markup, HTML or a link. An underscore inside a word and a dash inside a line are never markup."""


def plain(text: object) -> str:
    r"""Return a text on one line with the punctuation escaped that could be markup.

    Args:
        text: Anything; numbers are shown as they are.

    Example:
        >>> print(plain("<b>a|b</b>"), plain(0.5))
        \<b\>a\|b\</b\> 0.5

    """
    return str(text) if isinstance(text, int | float) else _MARKUP.sub(r"\\\1", sanitize(str(text)))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; None is an empty cell, a float has three decimals.

    Args:
        header: The names of the columns.
        rows: The cells of each row.

    """
    lines = [header, ["---"] * len(header)]
    for row in rows:
        numbers = [f"{value:.3f}" if isinstance(value, float) else value for value in row]
        lines.append(["" if value is None else plain(value) for value in numbers])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
