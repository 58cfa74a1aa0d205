"""What stands above a program in a run's folder: how it was written, and at what price.

The header is no part of the program: a file that is read again gives the very source that was written.
"""

from collections.abc import Mapping

from alchemist_exp.core.display import harmless
from alchemist_exp.programs.base import Program, Rejected

_MARK = "#: "
_END = f"{_MARK}---\n"


def with_header(program: Program, rejection: Rejected | None = None, **more: str) -> str:
    """The program's file. more: further lines."""
    lines: dict[str, str] = {"program": f"{program.id} ({program.origin})"}
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
    if rejection is not None:
        lines["rejected"] = f"{rejection.stage}: {rejection.reason}"
    return _header(lines | more) + _END + program.source


def _header(lines: Mapping[str, str]) -> str:
    return "".join(f"{_MARK}{name}: {harmless(value)}\n" for name, value in lines.items())


def without_header(source: str) -> str:
    """`source` from below the header on; all of it where it has none."""
    head, end, rest = source.partition(_END)
    return rest if end and all(line.startswith(_MARK) for line in head.splitlines()) else source
