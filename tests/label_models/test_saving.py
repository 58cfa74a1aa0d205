"""Every label model of the configuration is saved and loaded without pickle, and broken files are one sentence."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import LabelModel
from tests.support.crowd import crowd, labeled

MODELS = config.members("label_model")
N_PROGRAMS, N_CLASSES = 5, 3


def votes() -> tuple[LabelMatrix, np.ndarray]:
    return crowd(400, [0.9, 0.8, 0.8, 0.7, 0.6], [0.5, 0.3, 0.2], 0.6, seed=4)


@pytest.fixture(scope="module", params=MODELS)
def fitted(request: pytest.FixtureRequest, make) -> LabelModel:
    """A fitted model, which tests only read."""
    matrix, truth = votes()
    return make(request.param).fit(matrix, np.array([0.5, 0.3, 0.2]), labeled(matrix, truth))


@pytest.fixture
def saved(fitted: LabelModel, make, tmp_path: Path) -> tuple[LabelModel, LabelModel, Path]:
    """A fitted model, an unfitted one of the same values, and the directory where the first is saved."""
    fitted.save(tmp_path)
    return fitted, make(fitted.name), tmp_path


def test_a_loaded_model_gives_equal_labels(saved) -> None:
    fitted, empty, directory = saved
    loaded = empty.load(directory, n_programs=N_PROGRAMS, n_classes=N_CLASSES)
    matrix, _ = votes()
    assert np.array_equal(loaded.predict_proba(matrix).probs, fitted.predict_proba(matrix).probs)
    one = LabelMatrix(votes=matrix.votes[:1], n_classes=N_CLASSES)
    assert np.allclose(loaded.predict_proba(one).probs, fitted.predict_proba(matrix).probs[:1], atol=1e-6)
    assert {path.suffix for path in directory.iterdir()} <= {".npy"}
    assert not fitted.unsaved_attributes()


def raw_npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    raw = io.BytesIO()
    np.save(raw, array, allow_pickle=allow_pickle)
    return raw.getvalue()


def huge_header(_: np.ndarray) -> bytes:
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    return raw.getvalue()


BROKEN: dict[str, Callable[[np.ndarray], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"not an array",
    "pickle": lambda _: pickle.dumps([1.0]),
    "objects": lambda _: raw_npy(np.array([{}], dtype=object), allow_pickle=True),
    "nan": lambda array: raw_npy(np.full_like(array, np.nan)),
    "shape": lambda array: raw_npy(np.concatenate([array, array])),
    "type": lambda array: raw_npy(array.astype(np.float32)),
    "cut": lambda array: raw_npy(array)[:-8],
    "huge": huge_header,
    "code": lambda _: (
        b"\x93NUMPY\x01\x00" + (50).to_bytes(2, "little") + b"__import__('os').system('touch x')".ljust(50)
    ),
}


@pytest.mark.parametrize("kind", [*BROKEN, "missing", "link"])
def test_a_broken_file_is_one_sentence_that_names_it(saved, kind: str) -> None:
    _, empty, directory = saved
    files = sorted(directory.iterdir())
    if not files:
        pytest.skip("nothing is fitted")
    array = np.load(files[0])
    if kind == "missing":
        files[0].unlink()
    elif kind == "link":
        files[0].rename(directory / "other")
        files[0].symlink_to(directory / "other")
    else:
        files[0].write_bytes(BROKEN[kind](array))
    with pytest.raises(StoreError) as refused:
        empty.load(directory, n_programs=N_PROGRAMS, n_classes=N_CLASSES)
    message = str(refused.value)
    assert str(files[0]) in message
    assert "\n" not in message


def test_a_model_that_would_lose_what_it_has_learned_is_not_saved(make, tmp_path: Path) -> None:
    matrix, truth = votes()
    model = make("majority").fit(matrix, np.array([0.5, 0.3, 0.2]), labeled(matrix, truth))
    model.learned = 3
    with pytest.raises(ConfigError, match="learned is not in its parameter_shapes"):
        model.save(tmp_path)
    with pytest.raises(RuntimeError, match="not been fitted"):
        make("weighted_majority").save(tmp_path)
