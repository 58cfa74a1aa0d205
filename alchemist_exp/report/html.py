"""Renders a page as one HTML file with its style and script inside.

The file's content security policy allows this one script and no request, so text of a dataset or a program cannot run
as a script even if it were not escaped.
"""

import base64
import hashlib
from collections.abc import Callable
from importlib import metadata, resources
from typing import Any, Final

from markupsafe import Markup

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import escape_controls
from alchemist_exp.report.blocks import Page

MAX_BYTES: Final = 5 * 10**6

_SHARES: Final = (1.0, 0.25, 0.05)
"""Shares of rows and source code that are tried until the file is small enough."""


def render_within_limit(compose: Callable[[float], Page]) -> str:
    """Return a page as HTML of at most `MAX_BYTES`.

    Args:
        compose: Returns the page with a share of the usual number of rows and amount of source code.

    Raises:
        StoreError: Even the smallest page is larger.

    """
    for share in _SHARES:
        html = render(compose(share))
        if (n_bytes := len(html.encode())) <= MAX_BYTES:
            return html
    raise StoreError(f"the report has {n_bytes:,} bytes, more than {MAX_BYTES:,}; the run has too many long names.")


def render(page: Page) -> str:
    """Return a page as HTML.

    Args:
        page: The page.

    """
    # Imported here: the commands that make no report need no templates.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("alchemist_exp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (
        resources.files("alchemist_exp.report").joinpath("templates", name).read_text("utf-8")
        for name in ("style.css", "script.js")
    )
    return environment.get_template("page.html").render(
        page=page,
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=metadata.version("alchemist-exp"),
    )


def _printable(value: Any) -> Any:
    """Return a text with control characters and changes of direction escaped; the template then escapes HTML."""
    return escape_controls(value) if type(value) is str else value
