from pathlib import Path

import pytest

from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.programs.base import Program, Rejected
from alchemist_exp.programs.folder import read_folder


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "notes.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "c.py").write_bytes(b"\xff")
    (tmp_path / "folder.py").mkdir()
    assert read_folder(tmp_path) == [
        Program(source="a.py", origin="a.py"),
        Program(source="b.py", origin="b.py"),
        Rejected(origin="c.py", reason="not UTF-8 (byte 0)"),
    ]


def test_no_folder_and_no_programs_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProgramsError, match=r"method\.path is .*which is not a folder"):
        read_folder(tmp_path / "absent")
    with pytest.raises(ProgramsError, match=r"a folder without \*\.py files"):
        read_folder(tmp_path)
