import os
from pathlib import Path

import pytest

from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.programs.files import read_directory
from alchemist_exp.programs.types import Program, Rejected, RejectionStage


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "notes.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "c.py").write_bytes(b"\xff")
    (tmp_path / "folder.py").mkdir()
    assert read_directory(tmp_path) == [
        Program(source="a.py", origin="a.py"),
        Program(source="b.py", origin="b.py"),
        Rejected(origin="c.py", stage=RejectionStage.UNREADABLE, reason="not UTF-8 (byte 0)"),
    ]


def test_line_ends_are_made_alike(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfx = 1\r\ny = 2\rz = 3\n")
    assert read_directory(tmp_path) == [Program(source="x = 1\ny = 2\nz = 3\n", origin="a.py")]


def test_what_is_too_long_or_never_ends_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.py").open("wb") as file:
        file.truncate(20 << 30)
    (tmp_path / "b.py").symlink_to("/proc/self/pagemap")
    too_long, endless = read_directory(tmp_path)
    assert too_long == Rejected(origin="a.py", stage=RejectionStage.UNREADABLE, reason="has more than 16777216 bytes")
    assert isinstance(endless, Rejected)


def test_what_keeps_its_reader_waiting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "a.py")
    monkeypatch.setattr(Path, "is_file", lambda path: True)  # it was a file when it was looked at
    assert read_directory(tmp_path) == [
        Rejected(origin="a.py", stage=RejectionStage.UNREADABLE, reason="cannot be read: not a file")
    ]


def test_no_folder_and_no_programs_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProgramsError, match=r"method\.path is .*which is not a directory"):
        read_directory(tmp_path / "absent")
    with pytest.raises(ProgramsError, match=r"a directory without \*\.py files"):
        read_directory(tmp_path)
