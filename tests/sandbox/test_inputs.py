"""Score vectors and images reach programs unchanged, in the same way as texts, and each row belongs to the program."""

import errno
import fcntl
import itertools
import json
import mmap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox import shared_memory
from alchemist_exp.sandbox.base import ProgramStatus, Sandbox
from alchemist_exp.sandbox.inputs import ImageInputs, RecordInputs, ScoreInputs, TextInputs
from alchemist_exp.sandbox.shared_memory import SharedRows
from alchemist_exp.sandbox.worker import rows as worker_rows
from alchemist_exp.sandbox.worker.protocol import TEXTS

MakeSandbox = Callable[..., Sandbox]
# As recorded for the birds of the paper: means over columns of scores, and colours of an image.
MEANS = """
from statistics import mean
def label_function(scores: list[float]) -> int:
    if type(scores) is not list or not all(type(score) is float for score in scores):
        return -1
    landbird, waterbird = mean(scores[0::2]), mean(scores[1::2])
    return int(waterbird > landbird)
"""
COLOURS = """
import numpy as np
def label_function(image) -> int:
    img = np.asarray(image).astype(np.float32)
    if img.ndim != 3 or img.shape[2] < 3:
        return -1
    r, g, b = img[..., 0], img[..., 1], img[..., 2]
    blue, green = ((b > r + 10) & (b > g)).mean(), ((g > r) & (g > b + 5)).mean()
    return 1 if blue > green else 0 if green > blue else -1
"""


def _in_process(source: str, rows: Sequence[Any]) -> list[int]:
    module: dict[str, Any] = {}
    exec(source, module)
    return [module["label_function"](row) for row in rows]


def _images(rows: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, size=(8 + row % 5, 9, 3), dtype=np.uint8) for row in range(rows)]


def _check_scores(sandbox: Sandbox, dtype: type) -> None:
    scores = np.random.default_rng(0).normal(size=(300, 8)).astype(dtype)
    (run,) = sandbox.execute([MEANS], ScoreInputs(scores), 2)
    assert run.votes.tolist() == _in_process(MEANS, scores.astype(np.float64).tolist())
    assert len(set(run.votes.tolist())) == 2


def test_scores(sandbox: Sandbox) -> None:
    _check_scores(sandbox, np.float64)


def test_scores_of_another_type(make_sandbox: MakeSandbox) -> None:
    _check_scores(make_sandbox(), np.float32)


def test_odd_scores_arrive_unchanged(make_sandbox: MakeSandbox) -> None:
    scores = np.array([[np.nan, np.inf], [-0.0, 5e-324]])
    source = "def label_function(s):\n    return int(repr(s) in ('[nan, inf]', '[-0.0, 5e-324]'))\n"
    (run,) = make_sandbox().execute([source], ScoreInputs(scores), 2)
    assert run.votes.tolist() == [1, 1]


RECORD = {"title": "a\0b \u2028 é 😀", "price": 2.5, "n": -(2**62), "new": True, "none": None}


def test_records(sandbox: Sandbox) -> None:
    source = f"def label_function(row):\n    return int(type(row) is dict and repr(row) == repr({RECORD!r}))\n"
    rows = [json.dumps(RECORD, ensure_ascii=False)] * 300
    (run,) = sandbox.execute([source], RecordInputs(rows), 2)
    assert run.votes.tolist() == [1] * 300, run


@pytest.mark.parametrize(
    "change",
    [
        "row.clear()",
        "row['n'] = -1",
        "row['more'] = 'x' * 1000",
        "import json; json.loads = None",
        "kept.append(row); [old.update(n=-1) for old in kept]",
        "type(row).n = 1",
        "row.n = 1",
        "row['n'].bit_length = 1",
        "return row",
        "return row['n'] / 1",
        "return str(row['n'])",
    ],
)
def test_a_program_cannot_change_another_row(make_sandbox: MakeSandbox, change: str) -> None:
    rows = [json.dumps({"n": number % 3}) for number in range(600)]
    hostile = f"kept = []\ndef label_function(row):\n    vote = row['n']\n    {change}\n    return vote\n"
    honest = "def label_function(row):\n    return row['n'] if len(row) == 1 else -1\n"
    runs = make_sandbox(allowed_modules=["json"]).execute([hostile, honest, hostile], RecordInputs(rows), 3)
    expected = [number % 3 for number in range(600)]
    assert runs[1].votes.tolist() == expected
    assert runs[0].status is ProgramStatus.OK
    # The program's own rows are not changed either: it votes as before, or has an error on every row.
    assert runs[0].votes.tolist() in (expected, [-1] * 600)


def test_images(make_sandbox: MakeSandbox, mode: str) -> None:
    images = _images(60)
    (run,) = make_sandbox(mode, memory_mb=512).execute([COLOURS], ImageInputs(images), 2)
    assert run.status is ProgramStatus.OK, run
    assert run.votes.tolist() == _in_process(COLOURS, images)


def test_a_program_can_change_its_image_and_no_other_row_changes(make_sandbox: MakeSandbox) -> None:
    paint = "def label_function(image):\n    seen = int(image[0, 0, 0])\n    image[:] = 255\n    return seen\n"
    images = [np.full((4, 4, 3), row, dtype=np.uint8) for row in range(50)]
    one, other = make_sandbox(memory_mb=512).execute([paint] * 2, ImageInputs(images), 100)
    assert one.votes.tolist() == other.votes.tolist() == list(range(50))


def test_rows_cannot_be_written(make_sandbox: MakeSandbox, mode: str) -> None:
    write = (
        "import collections\nsys = collections._sys\nctypes = sys.modules['ctypes']\n"
        "def label_function(scores):\n"
        "    if scores[0] == 8:\n"
        "        rows = sys._getframe(1).f_locals['rows']\n"
        "        address = sys.modules['numpy'].frombuffer(rows._memory, 'u1').ctypes.data\n"
        "        {}\n"
        "    return int(scores[0])\n"
    )
    by_python, by_address = write.format("rows._memory[0:8] = bytes(8)"), write.format("ctypes.memset(address, 0, 8)")
    read = "def label_function(scores):\n    return int(scores[0])\n"
    sandbox = make_sandbox(mode, memory_mb=512, extra_modules=["numpy"])
    scores = ScoreInputs(np.array([[8.0], *[[7.0]] * 19]))
    first, second, reader = sandbox.execute([by_python, by_address, read], scores, 9)
    assert reader.votes.tolist() == [8] + [7] * 19
    assert first.votes.tolist() == second.votes.tolist() == [-1] + [7] * 19
    assert first.outcomes == {"vote": 19, "exception": 1}
    assert second.outcomes == {"vote": 19, "crash": 1}


def test_chunks_end_by_size_and_a_lazy_sequence_is_read_once_per_row(make_sandbox: MakeSandbox) -> None:
    class Lazy(Sequence[np.ndarray]):
        read: list[int] = []  # noqa: RUF012

        def __len__(self) -> int:
            return 5

        def __getitem__(self, row: Any) -> Any:
            self.read.append(row)
            return np.full((400, 400, 3), row, dtype=np.uint8)

        def __iter__(self) -> Iterator[np.ndarray]:
            raise AssertionError("rows are read by number")

    counter = "n = -1\ndef label_function(image):\n    global n\n    n += 1\n    return n\n"
    (run,) = make_sandbox(memory_mb=512, chunk_mb=1).execute([counter], ImageInputs(Lazy()), 9)
    assert Lazy.read == list(range(5))
    assert run.votes.tolist() == [0, 1, 2, 0, 1]  # three images of 480 kB are more than 1 MiB


def test_the_determinism_check_works_for_arrays(make_sandbox: MakeSandbox) -> None:
    counter = "n = 0\ndef label_function(row):\n    global n\n    n += 1\n    return n % 2\n"
    sandbox = make_sandbox(memory_mb=512, determinism_rows=10)
    for inputs, source in ((ScoreInputs(np.eye(20)), MEANS), (ImageInputs(_images(20)), COLOURS)):
        runs = sandbox.execute([source, counter], inputs, 2)
        assert [run.nondeterministic for run in runs] == [False, True]


@pytest.mark.parametrize(
    "image", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2, 3), np.float32)]
)
def test_an_array_that_is_no_rgb_image_is_named(make_sandbox: MakeSandbox, image: np.ndarray) -> None:
    images = [*_images(2), image]
    with pytest.raises(ValueError, match="image 2 is"):
        make_sandbox(memory_mb=512).execute([COLOURS], ImageInputs(images), 2)


@pytest.mark.parametrize("scores", [np.zeros(3), np.zeros((3, 2), dtype=int)])
def test_an_array_that_is_no_score_matrix_is_described(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected float of shape \(n_rows, n_scores\)"):
        ScoreInputs(scores)


def _decoded(shared: SharedRows) -> worker_rows.DecodedTexts:
    return worker_rows.DecodedTexts(_encoded(shared), shared.n_rows)


def _encoded(shared: SharedRows) -> worker_rows.EncodedRows[str]:
    return worker_rows.EncodedRows(shared.fd, shared.n_rows, shared.offsets_at, worker_rows.DECODERS[TEXTS])


@pytest.mark.parametrize("decoded", [False, True])
def test_batches_in_both_orders_hold_every_row_once(decoded: bool) -> None:
    texts = [str(row) * (300_000 if row % 5 == 0 else row % 3) for row in range(40)]
    with SharedRows(TextInputs(texts), 0, max_rows=100, max_bytes=1 << 30) as shared:
        rows = _decoded(shared) if decoded else _encoded(shared)
        for first, end in ((0, 40), (3, 17), (7, 8), (5, 5)):
            assert list(itertools.chain.from_iterable(rows.batches(first, end))) == texts[first:end]
            assert list(itertools.chain.from_iterable(rows.batches(first, end, True))) == texts[first:end][::-1]


@pytest.mark.parametrize(("busy", "sealed"), [(2, True), (10_000, False)])
def test_memory_in_use_by_the_kernel_is_sealed_at_a_later_attempt(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, busy: int, sealed: bool
) -> None:
    real, attempts = fcntl.fcntl, iter(range(busy))

    def busy_at_first(fd: int, command: int, argument: int) -> int:
        if next(attempts, None) is not None:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return real(fd, command, argument)

    monkeypatch.setattr(shared_memory.fcntl, "fcntl", busy_at_first)
    if sealed:
        make_sandbox().check()
    else:
        with pytest.raises(SandboxError, match="cannot seal the memory"):
            make_sandbox().check()


def test_runs_of_adjacent_pages() -> None:
    assert list(worker_rows._runs_of_adjacent([])) == []
    assert list(worker_rows._runs_of_adjacent([7])) == [(7, 8)]
    assert list(worker_rows._runs_of_adjacent([1, 2, 3, 5, 8, 9])) == [(1, 4), (5, 6), (8, 10)]


@pytest.mark.parametrize("errno", [0, 22])
def test_pages_are_copied_at_once_unless_the_kernel_refuses_the_first_request(errno: int) -> None:
    requests: list[tuple[int, int, int]] = []

    class Kernel:
        def madvise(self, start: Any, size: Any, advice: Any) -> int:
            requests.append((start.value, size.value, advice.value))
            return -1 if errno else 0

    texts = ["a" * 100 + str(row) for row in range(1000)]
    with SharedRows(TextInputs(texts), 0, max_rows=1000, max_bytes=1 << 30) as shared:
        rows = _decoded(shared)
    rows.copy_pages(Kernel())  # type: ignore[arg-type]
    covered = {page for start, size, _ in requests for page in range(start, start + size, mmap.PAGESIZE)}
    needed = {id(text) // mmap.PAGESIZE * mmap.PAGESIZE for text in rows._texts}
    assert covered == needed if not errno else len(requests) == 1
