"""Programs from a folder: how a person corrects, extends and adds to what an LLM wrote."""

from pathlib import Path
from typing import Final

from alchemist_exp.core.atomic_io import read_prefix
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.programs.header import split_header
from alchemist_exp.programs.types import Candidate, Program, Rejected, RejectionStage

_MOST_BYTES: Final = 16 << 20
"""Of a file that is read at all. What a program may have is sandbox.max_source_bytes; vetting sees to that."""


def read_folder(folder: Path) -> list[Candidate]:
    """The *.py files of `folder` in the order of their names. ProgramsError when there are none."""
    if not folder.is_dir():
        raise ProgramsError(
            f"method.path is {str(folder)!r}, which is not a folder; name the one with your *.py programs."
        )
    files = sorted(path for path in folder.glob("*.py") if path.is_file())
    if not files:
        raise ProgramsError(f"method.path is {str(folder)!r}, a folder without *.py files; put programs there.")
    return [_read(file) for file in files]


def _read(file: Path) -> Candidate:
    origin = sanitize(file.name)
    try:
        raw = read_prefix(file, _MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            return Rejected(origin=origin, stage=RejectionStage.UNREADABLE, reason=f"has more than {_MOST_BYTES} bytes")
        source = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        return Rejected(origin=origin, stage=RejectionStage.UNREADABLE, reason=f"not UTF-8 (byte {error.start})")
    except OSError as error:
        return Rejected(origin=origin, stage=RejectionStage.UNREADABLE, reason=f"cannot be read: {error.strerror}")
    header, source = split_header(source)
    return Program(source=source, origin=origin, header=header)
