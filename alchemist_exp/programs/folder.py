"""Programs from a folder: how a person corrects, extends and adds to what an LLM wrote."""

from pathlib import Path

from alchemist_exp.core.display import harmless
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.programs.base import Program, Rejected


def read_folder(folder: Path) -> list[Program | Rejected]:
    """The *.py files of `folder` in the order of their names. ProgramsError when there are none."""
    if not folder.is_dir():
        raise ProgramsError(
            f"method.path is {str(folder)!r}, which is not a folder; name the one with your *.py programs."
        )
    files = sorted(path for path in folder.glob("*.py") if path.is_file())
    if not files:
        raise ProgramsError(f"method.path is {str(folder)!r}, a folder without *.py files; put programs there.")
    return [_read(file) for file in files]


def _read(file: Path) -> Program | Rejected:
    try:
        return Program(source=file.read_text(encoding="utf-8-sig"), origin=harmless(file.name))
    except UnicodeDecodeError as error:
        return Rejected(origin=harmless(file.name), reason=f"not UTF-8 (byte {error.start})")
    except OSError as error:
        return Rejected(origin=harmless(file.name), reason=f"cannot be read: {error.strerror}")
