import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp.core.artifact_cache import ArtifactCache, read_array
from alchemist_exp.core.atomic_io import read_json, write_bytes, write_directory, write_json
from alchemist_exp.core.errors import StoreError


def test_a_file_is_written_completely_without_other_files(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.json"
    write_json(target, {"a": "é"})
    write_json(target, {"a": 2})
    assert read_json(target, what="x") == {"a": 2}
    assert [p.name for p in target.parent.iterdir()] == ["a.json"]


def test_an_invalid_value_keeps_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, float("nan"))
    assert target.read_text() == "1\n"


def test_a_file_over_the_size_limit_is_an_error_and_keeps_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_bytes(target, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError, match="could not be written"):
            write_bytes(target, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_an_error_of_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(StoreError, match=r"disk is full \(bytes or inodes\); free some space or move the outputs"):
        write_bytes(tmp_path / "a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_directory_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("in the way")
    with pytest.raises(StoreError, match="file"):
        write_bytes(tmp_path / "outputs" / "a", b"x")


def test_a_directory_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    def half(directory: Path) -> None:
        (directory / "one").write_text("1")
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        write_directory(tmp_path / "entry", half)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_may_have_subdirectories(tmp_path: Path) -> None:
    write_directory(tmp_path / "entry", lambda directory: (directory / "inner").mkdir())
    assert (tmp_path / "entry/inner").is_dir()


def test_a_killed_writer_never_leaves_a_partial_file(tmp_path: Path) -> None:
    """After kill -9 at any moment the file is missing, old or new."""
    code = (
        "import sys; from pathlib import Path; from alchemist_exp.core.atomic_io import write_bytes\n"
        "for i in range(10**9): write_bytes(Path(sys.argv[1]), bytes([i % 256]) * 300_000)"
    )
    target = tmp_path / "a"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, str(target)])
        for _ in range(10**6):
            if target.exists():
                break
        writer.kill()
        writer.wait()
        raw = target.read_bytes()
        assert len(raw) == 300_000
        assert len(set(raw)) == 1


def test_a_broken_json_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": ')
    with pytest.raises(StoreError, match=r"the record .*a\.json is broken .*delete it"):
        read_json(path, what="the record")


def test_a_cache_entry_is_created_once_and_read_back(tmp_path: Path) -> None:
    cache, made = ArtifactCache(tmp_path), []

    def make(directory: Path) -> None:
        made.append(directory)
        np.save(directory / "a.npy", np.arange(3))

    first = cache.get_or_create("kind", {"a": 1}, make)
    assert cache.get_or_create("kind", {"a": 1}, make) == first
    assert cache.get_or_create("kind", {"a": 2}, make) != first
    assert len(made) == 2
    array = read_array(first / "a.npy")
    assert array.tolist() == [0, 1, 2]
    assert not array.flags.writeable


@pytest.mark.parametrize("raw", [b"", b"garbage", b"\x93NUMPY\x01\x00\x10"])
def test_a_broken_array_is_an_error_with_its_path(tmp_path: Path, raw: bytes) -> None:
    entry = ArtifactCache(tmp_path).get_or_create(
        "kind", {}, lambda directory: (directory / "a.npy").write_bytes(raw) and None
    )
    with pytest.raises(StoreError, match=rf"{entry}.*delete that directory"):
        read_array(entry / "a.npy")
    with pytest.raises(StoreError, match=rf"{entry} has no file b\.npy"):
        read_array(entry / "b.npy")


def test_an_entry_that_does_not_match_its_checksums_is_an_error(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)

    def make(directory: Path) -> None:
        np.save(directory / "a.npy", np.arange(300))

    entry = cache.get_or_create("kind", {}, make)
    raw = bytearray((entry / "a.npy").read_bytes())
    raw[-1] ^= 1
    (entry / "a.npy").write_bytes(raw)
    with pytest.raises(StoreError, match=rf"{entry} do not match their checksums; delete that directory"):
        cache.get_or_create("kind", {}, make)


def test_a_named_pipe_in_an_entry_is_an_error_and_never_waits(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    entry = cache.get_or_create("kind", {}, lambda directory: (directory / "a").touch())
    for name in ("pipe", "a"):
        (entry / name).unlink(missing_ok=True)
        os.mkfifo(entry / name)
        with pytest.raises(StoreError, match="do not match their checksums"):
            cache.get("kind", {})


def test_partial_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    partial = cache.path_of("kind", {}).parent / f".{cache.path_of('kind', {}).name}.1-dead"
    partial.mkdir(parents=True)
    (partial / "half").write_text("x")
    entry = cache.get_or_create("kind", {}, lambda directory: (directory / "a").touch())
    assert [path.name for path in entry.parent.iterdir()] == [entry.name]


def test_a_short_write_without_an_error_number_is_a_full_disk(tmp_path: Path) -> None:
    def short(_: Path) -> None:
        raise OSError("102400 requested and 87008 written")

    with pytest.raises(StoreError, match="disk is full"):
        write_directory(tmp_path / "entry", short)


def test_another_error_without_a_number_is_no_full_disk(tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise OSError("Cannot call rmtree on a symbolic link")

    with pytest.raises(OSError, match="symbolic link"):
        write_directory(tmp_path / "entry", refuse)
