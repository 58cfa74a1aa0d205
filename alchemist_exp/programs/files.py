"""Programs as files: read from a directory, written with a header that says how each was made.

The header is not part of the program: reading a file gives the very source that was written, and a corrected program
keeps the id of the program that it was made from.
"""

import re
from collections.abc import Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from alchemist_exp.core.atomic_io import read_prefix
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.programs.types import Candidate, Program, Rejected, RejectionStage

_MAX_FILE_BYTES: Final = 16 << 20
"""A larger file is not read. The limit on a program's source is sandbox.max_source_bytes, which vetting checks."""

_MARK = "#: "
_END = f"{_MARK}---\n"
_PROGRAM, _FROM = "program", "from"
_ID = re.compile(r"[0-9a-f]{12}\b")
_NUMBERED = re.compile(r"(?P<strategy>.*) (?P<sample>\d+)(?P<version>(?:\.\d+)?)")
_MAX_STEM_CHARS: Final = 60


def read_directory(directory: Path) -> list[Candidate]:
    """Return the programs in a directory.

    Args:
        directory: The directory; its subdirectories are not read.

    Returns:
        A candidate for each *.py file, in the order of the file names; an unreadable file is a `Rejected`.

    Raises:
        ProgramsError: There is no such directory, or it has no *.py file.

    """
    if not directory.is_dir():
        raise ProgramsError(
            f"method.path is {str(directory)!r}, which is not a directory; name the one with your *.py programs."
        )
    files = sorted(path for path in directory.glob("*.py") if path.is_file())
    if not files:
        raise ProgramsError(f"method.path is {str(directory)!r}, a directory without *.py files; put programs there.")
    return [_read(file) for file in files]


def _read(file: Path) -> Candidate:
    origin = sanitize(file.name)
    unreadable = partial(Rejected, origin=origin, stage=RejectionStage.UNREADABLE)
    try:
        raw = read_prefix(file, _MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            return unreadable(reason=f"has more than {_MAX_FILE_BYTES} bytes")
        source = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        return unreadable(reason=f"not UTF-8 (byte {error.start})")
    except OSError as error:
        return unreadable(reason=f"cannot be read: {error.strerror}")
    header, source = split_header(source)
    return Program(source=source, origin=origin, header=header)


def file_names(origins: Iterable[str]) -> list[str]:
    """Return the file name of each program, after its origin.

    Args:
        origins: The origins of the programs of one directory.

    Returns:
        Different names in the order of the origins. The sample has two digits, so that sorted names keep the order.

    Example:
        >>> file_names(["general 5", "rules 12.1", "mine.py", "general 5"])
        ['general_05.py', 'rules_12.1.py', 'mine.py', 'general_05_2.py']

    """
    names: dict[str, None] = {}
    for origin in origins:
        if numbered := _NUMBERED.fullmatch(origin):
            stem = f"{numbered['strategy']}_{int(numbered['sample']):02d}{numbered['version']}"
        else:
            stem = origin.removesuffix(".py")
        stem = re.sub(r"[^\w.-]", "_", stem)[:_MAX_STEM_CHARS] or "program"
        copies = (stem if n == 1 else f"{stem}_{n}" for n in count(1))
        names[next(f"{copy}.py" for copy in copies if f"{copy}.py" not in names)] = None
    return list(names)


def vote_columns(names: Iterable[str]) -> list[str]:
    """Return the column of a table that has the votes of each program, in the tables of runs and of `alchemist apply`.

    Args:
        names: The name of each program.

    Returns:
        Different names of columns.

    Example:
        >>> vote_columns(["a.py", "b.py", "a.py"])
        ['vote a.py', 'vote b.py', 'vote a.py 2']

    """
    columns: dict[str, None] = {}
    for name in names:
        copies = (f"vote {name}" if n == 1 else f"vote {name} {n}" for n in count(1))
        columns[next(copy for copy in copies if copy not in columns)] = None
    return list(columns)


def with_header(program: Program, rejection: Rejected | None = None) -> str:
    """Return the text of a program's file.

    Args:
        program: The program.
        rejection: Why the program was rejected; None for an accepted one.

    Returns:
        The header, one comment line per fact, and the source.

    """
    lines = {_PROGRAM: f"{program.id} ({program.origin})"}
    if made := program.provenance:
        lines |= {
            "model": made.model,
            "strategy": made.strategy,
            "sample": str(made.sample),
            "version": f"{made.version}{' (a repair)' if made.version else ''}",
            "prompt": made.prompt_key,
            "response": made.response_key,
            "cost": "not metered" if made.list_price_usd is None else f"${made.list_price_usd:.6f} by list price",
        }
    else:
        earlier = dict(program.header)
        if origin := earlier.pop(_PROGRAM, earlier.get(_FROM, "")):
            lines[_FROM] = origin
        lines |= {name: value for name, value in earlier.items() if name not in (*lines, "rejected")}
    if rejection is not None:
        lines["rejected"] = f"{rejection.stage}: {rejection.reason}"
    return "".join(f"{_MARK}{name}: {sanitize(value)}\n" for name, value in lines.items()) + _END + program.source


def split_header(text: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """Split the text of a program's file into header and source.

    Args:
        text: The text of the file.

    Returns:
        The header's lines as (name, value), none when the file has no header; and the source below it.

    """
    head, end, source = text.partition(_END)
    lines = head.split("\n")
    if not end or lines.pop() or not all(line.startswith(_MARK) for line in lines):
        return (), text
    parts = (line.removeprefix(_MARK).partition(": ") for line in lines)
    return tuple((name, value) for name, _, value in parts), source


def parent_id(program: Program) -> str | None:
    """Return the id of the program that a file was before a person corrected it.

    Args:
        program: A program read from a file.

    Returns:
        The id, or None when no header names one.

    """
    match = _ID.match(dict(program.header).get(_PROGRAM, ""))
    return match[0] if match else None
