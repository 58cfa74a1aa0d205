"""Score vectors and images reach programs by the same road as texts, whole, and each row is the program's own."""

import errno
import fcntl
import itertools
import mmap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox import shared_memory, worker
from alchemist_exp.sandbox.base import ProgramStatus, Sandbox
from alchemist_exp.sandbox.inputs import ImageInputs, ScoreInputs, TextInputs
from alchemist_exp.sandbox.shared_memory import SharedRows

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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores(sandbox: Sandbox, dtype: type) -> None:
    scores = np.random.default_rng(0).normal(size=(300, 8)).astype(dtype)
    (run,) = sandbox.execute([MEANS], ScoreInputs(scores), 2)
    assert run.votes.tolist() == _in_process(MEANS, scores.astype(np.float64).tolist())
    assert len(set(run.votes.tolist())) == 2


def test_odd_scores_arrive_whole(make_sandbox: MakeSandbox) -> None:
    scores = np.array([[np.nan, np.inf], [-0.0, 5e-324]])
    source = "def label_function(s):\n    return int(repr(s) in ('[nan, inf]', '[-0.0, 5e-324]'))\n"
    (run,) = make_sandbox().execute([source], ScoreInputs(scores), 2)
    assert run.votes.tolist() == [1, 1]


def test_images(make_sandbox: MakeSandbox, mode: str) -> None:
    images = _images(60)
    (run,) = make_sandbox(mode, memory_mb=512).execute([COLOURS], ImageInputs(images), 2)
    assert run.status is ProgramStatus.OK, run
    assert run.votes.tolist() == _in_process(COLOURS, images)


def test_image_can_be_painted_on_and_no_other_row_sees_it(make_sandbox: MakeSandbox) -> None:
    paint = "def label_function(image):\n    seen = int(image[0, 0, 0])\n    image[:] = 255\n    return seen\n"
    images = [np.full((4, 4, 3), row, dtype=np.uint8) for row in range(50)]
    one, other = make_sandbox(memory_mb=512).execute([paint] * 2, ImageInputs(images), 100)
    assert one.votes.tolist() == other.votes.tolist() == list(range(50))


@pytest.mark.parametrize("attack", ["rows._memory[0:8] = bytes(8)", "ctypes.memset(address, 0, 8)"])
def test_rows_cannot_be_written(make_sandbox: MakeSandbox, mode: str, attack: str) -> None:
    write = (
        "import collections\nsys = collections._sys\nctypes = sys.modules['ctypes']\n"
        "def label_function(scores):\n"
        "    if scores[0] == 8:\n"
        "        rows = sys._getframe(1).f_locals['rows']\n"
        "        address = sys.modules['numpy'].frombuffer(rows._memory, 'u1').ctypes.data\n"
        f"        {attack}\n"
        "    return int(scores[0])\n"
    )
    look = "def label_function(scores):\n    return int(scores[0])\n"
    sandbox = make_sandbox(mode, memory_mb=512, extra_modules=["numpy"])
    writer, looker = sandbox.execute([write, look], ScoreInputs(np.array([[8.0], *[[7.0]] * 19])), 9)
    assert looker.votes.tolist() == [8] + [7] * 19
    assert writer.votes.tolist() == [-1] + [7] * 19
    assert writer.outcomes == {"vote": 19, "exception" if "_memory[" in attack else "crash": 1}


def test_chunks_end_by_size_and_a_lazy_sequence_is_read_once_per_row(make_sandbox: MakeSandbox) -> None:
    class Lazy(Sequence[np.ndarray]):
        read: list[int] = []  # noqa: RUF012

        def __len__(self) -> int:
            return 10

        def __getitem__(self, row: Any) -> Any:
            self.read.append(row)
            return np.full((400, 400, 3), row, dtype=np.uint8)

        def __iter__(self) -> Iterator[np.ndarray]:
            raise AssertionError("rows are read by number")

    counter = "n = -1\ndef label_function(image):\n    global n\n    n += 1\n    return n\n"
    (run,) = make_sandbox(memory_mb=512, chunk_mb=1).execute([counter], ImageInputs(Lazy()), 9)
    assert Lazy.read == list(range(10))
    assert run.votes.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]  # three of 480 kB are more than 1 MiB


def test_reverse_order_holds_for_arrays_too(make_sandbox: MakeSandbox) -> None:
    counter = "n = 0\ndef label_function(row):\n    global n\n    n += 1\n    return n % 2\n"
    sandbox = make_sandbox(memory_mb=512, determinism_rows=10)
    for inputs, source in ((ScoreInputs(np.eye(20)), MEANS), (ImageInputs(_images(20)), COLOURS)):
        runs = sandbox.execute([source, counter], inputs, 2)
        assert [run.nondeterministic for run in runs] == [False, True]


@pytest.mark.parametrize(
    "image", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2, 3), np.float32)]
)
def test_what_is_no_rgb_image_is_named(make_sandbox: MakeSandbox, image: np.ndarray) -> None:
    images = [*_images(2), image]
    with pytest.raises(ValueError, match="image 2 is"):
        make_sandbox(memory_mb=512).execute([COLOURS], ImageInputs(images), 2)


@pytest.mark.parametrize("scores", [np.zeros(3), np.zeros((3, 2), dtype=int)])
def test_what_is_no_score_matrix_is_named(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"float \(rows, scores\) is needed"):
        ScoreInputs(scores)


@pytest.mark.parametrize("decoded", [False, True])
def test_batches_in_both_orders_hold_every_row_once(decoded: bool) -> None:
    texts = [str(row) * (300_000 if row % 5 == 0 else row % 3) for row in range(40)]
    with SharedRows(TextInputs(texts), 0, most_rows=100, most_bytes=1 << 30) as shared:
        encoded = worker.EncodedRows(shared.fd, shared.n, shared.offsets_at, worker._DECODE[worker.TEXTS])
        rows = worker.DecodedTexts(encoded, shared.n) if decoded else encoded
        for first, end in ((0, 40), (3, 17), (7, 8), (5, 5)):
            assert list(itertools.chain.from_iterable(rows.batches(first, end))) == texts[first:end]
            assert list(itertools.chain.from_iterable(rows.batches(first, end, True))) == texts[first:end][::-1]


@pytest.mark.parametrize(("busy", "sealed"), [(2, True), (10_000, False)])
def test_memory_that_the_kernel_is_at_is_sealed_a_moment_later(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, busy: int, sealed: bool
) -> None:
    real, left = fcntl.fcntl, iter(range(busy))

    def busy_at_first(fd: int, command: int, argument: int) -> int:
        if next(left, None) is not None:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return real(fd, command, argument)

    monkeypatch.setattr(shared_memory.fcntl, "fcntl", busy_at_first)
    if sealed:
        make_sandbox().check()
    else:
        with pytest.raises(SandboxError, match="does not seal memory"):
            make_sandbox().check()


def test_pages_of_texts_are_found_whole_and_no_other() -> None:
    assert list(worker._adjacent([])) == []
    assert list(worker._adjacent([7])) == [(7, 8)]
    assert list(worker._adjacent([1, 2, 3, 5, 8, 9])) == [(1, 4), (5, 6), (8, 10)]


@pytest.mark.parametrize("errno", [0, 22])
def test_a_kernel_that_cannot_copy_pages_at_once_is_asked_no_more(errno: int) -> None:
    asked: list[tuple[int, int, int]] = []

    class Kernel:
        def madvise(self, start: Any, size: Any, advice: Any) -> int:
            asked.append((start.value, size.value, advice.value))
            return -1 if errno else 0

    texts = ["a" * 100 + str(row) for row in range(1000)]
    with SharedRows(TextInputs(texts), 0, most_rows=1000, most_bytes=1 << 30) as shared:
        encoded = worker.EncodedRows(shared.fd, shared.n, shared.offsets_at, worker._DECODE[worker.TEXTS])
        rows = worker.DecodedTexts(encoded, shared.n)
    rows.take_pages(Kernel())  # type: ignore[arg-type]
    covered = {page for start, size, _ in asked for page in range(start, start + size, mmap.PAGESIZE)}
    needed = {id(text) // mmap.PAGESIZE * mmap.PAGESIZE for text in rows._texts}
    assert covered == needed if not errno else len(asked) == 1
