"""What stands above a program in a run's folder: how it was written, and at what price.

The header is no part of the program: a file that is read again gives the very source that was written, and a program
that was corrected keeps saying what it was made from.
"""

import re

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.programs.types import Program, Rejected

_MARK = "#: "
_END = f"{_MARK}---\n"
_PROGRAM, _FROM = "program", "from"
_ID = re.compile(r"[0-9a-f]{12}\b")


def with_header(program: Program, rejection: Rejected | None = None) -> str:
    """The program's file."""
    lines = {_PROGRAM: f"{program.id} ({program.origin})"}
    if written := program.written:
        lines |= {
            "model": written.model,
            "strategy": written.strategy,
            "sample": str(written.sample),
            "version": f"{written.version}{' (a repair)' if written.version else ''}",
            "prompt": written.prompt,
            "reply": written.reply,
            "cost": "not metered" if written.usd is None else f"${written.usd:.6f} by list price",
        }
    else:
        earlier = dict(program.header)
        lines |= {_FROM: made_of} if (made_of := earlier.pop(_PROGRAM, earlier.get(_FROM, ""))) else {}
        lines |= {name: value for name, value in earlier.items() if name not in (*lines, "rejected")}
    if rejection is not None:
        lines["rejected"] = f"{rejection.stage}: {rejection.reason}"
    return "".join(f"{_MARK}{name}: {sanitize(value)}\n" for name, value in lines.items()) + _END + program.source


def split_header(text: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """The lines of a file's header, by name, and the source below it; no lines where it has none."""
    head, end, source = text.partition(_END)
    lines = head.splitlines()
    if not end or not all(line.startswith(_MARK) for line in lines):
        return (), text
    parts = (line.removeprefix(_MARK).partition(": ") for line in lines)
    return tuple((name, value) for name, _, value in parts), source


def made_from(program: Program) -> str | None:
    """The id of the program that a file was before it was corrected; None where no header says so."""
    found = _ID.match(dict(program.header).get(_PROGRAM, ""))
    return found[0] if found else None
