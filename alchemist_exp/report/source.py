"""Reads the programs of a run and highlights their source code, in bold and italic rather than in many colors."""

from pathlib import Path
from typing import Final

from markupsafe import Markup

from alchemist_exp.core.terminal import escape_controls
from alchemist_exp.programs.files import split_header

MAX_SOURCE_CHARS: Final = 30_000
"""Characters that are shown of one program."""


def read_source(programs: Path, name: object) -> str | None:
    """Return the source of a program.

    Args:
        programs: The directory of programs, whose files have been checked.
        name: The name of the file by the record.

    Returns:
        The source below the header, at most `MAX_SOURCE_CHARS` characters; None without such a file in the directory
        itself.

    """
    if not isinstance(name, str) or name != Path(name).name or not (path := programs / name).is_file():
        return None
    with path.open(encoding="utf-8", errors="replace") as file:
        return split_header(file.read(MAX_SOURCE_CHARS))[1]


def highlight(source: str) -> Markup:
    """Return Python source as HTML with classes for keywords, strings and comments.

    Args:
        source: The source; unprintable characters become escapes.

    Returns:
        Escaped HTML.

    Example:
        >>> highlight("return 1  # <b>").strip()
        Markup('<span class="k">return</span> <span class="mi">1</span>  <span class="c1"># &lt;b&gt;</span>')

    """
    # Imported here: pygments takes 60 ms, and a report of a sweep has no sources.
    from pygments import highlight as pygments_highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers.python import PythonLexer

    lexer = PythonLexer(stripnl=False)
    return Markup(pygments_highlight(escape_controls(source), lexer, HtmlFormatter(nowrap=True)))
