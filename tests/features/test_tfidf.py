"""What a feature extractor promises, on ordinary and degenerate texts."""

import dataclasses
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.hashing import canonical_json
from alchemist_exp.features.tfidf import Analyzer, Tfidf
from tests.support.composing import compose_cached

WORDS = ["subscribe", "check", "channel", "song", "love", "video", "views", "great", "free", "money", "please", "watch"]
TEXTS = [" ".join(np.random.default_rng(row).choice(WORDS, 6)) for row in range(40)]

Make = Callable[..., Tfidf]


@pytest.fixture
def make() -> Make:
    """The component of the YAML, some values replaced."""

    def made(**values: object) -> Tfidf:
        component = config.build_component(compose_cached("feature_extractor=tfidf"), "feature_extractor")
        assert isinstance(component, Tfidf)
        return dataclasses.replace(component, **values)

    return made


def test_yaml_makes_the_component(make: Make) -> None:
    component = make()
    assert component.name == "tfidf"
    assert component.n_components == 256


def test_features_are_read_only_float32_of_the_configured_width(make: Make) -> None:
    features = make(n_components=8).fit(TEXTS).transform(TEXTS[:5])
    assert features.shape == (5, 8)
    assert features.dtype == np.float32
    assert not features.flags.writeable
    assert np.linalg.norm(features, axis=1).max() <= 1 + 1e-5


def test_equal_texts_give_equal_features_whatever_the_global_state(make: Make) -> None:
    first = make(n_components=8).fit(TEXTS).transform(TEXTS)
    np.random.seed(5)  # noqa: NPY002 - the global state is what must not matter
    state = str(np.random.get_state())  # noqa: NPY002
    second = make(n_components=8).fit(TEXTS).transform(TEXTS)
    assert np.array_equal(first, second)
    assert str(np.random.get_state()) == state  # noqa: NPY002


def test_a_row_does_not_depend_on_its_neighbours(make: Make) -> None:
    extractor = make(n_components=8).fit(TEXTS)
    assert np.allclose(extractor.transform(TEXTS)[7:9], extractor.transform(TEXTS[7:9]), atol=1e-6)


def test_word_pairs_tell_orders_apart(make: Make) -> None:
    texts = ["not good but bad", "not bad but good", "fine song", "bad film"]
    one, two = make(n_components=4).fit(texts).transform(texts[:2])
    assert not np.allclose(one, two, atol=1e-3)
    one, two = make(n_components=4, max_ngram=1).fit(texts).transform(texts[:2])
    assert np.allclose(one, two, atol=1e-6)


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["one row"],
        ["a", "b", "c"],
        ["", "", ""],
        ["...", "!!!", "\ufeff"],
        ["same words", "same words", "same words"],
        ["short", "texts here", "three rows"],
        ["", "only this one speaks", ""],
        ["très bien écrit", "面白い 本", "отличная книга", "\U0001f600 ok \ud800 zz"],
    ],
    ids=["no rows", "one row", "letters", "empty", "signs", "repeats", "tiny", "one speaks", "unicode"],
)
def test_degenerate_texts_give_finite_features(make: Make, texts: list[str], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor = make(n_components=16).fit(texts)
        features = extractor.transform([*texts, "", "zyzzyva qwerty"])
        extractor.save(tmp_path)
        again = make(n_components=16).load(tmp_path).transform([*texts, "", "zyzzyva qwerty"])
    assert features.shape == (len(texts) + 2, 16)
    assert np.isfinite(features).all()
    assert not features[-2:].any()
    assert np.array_equal(features, again)
    assert extractor.transform([]).shape == (0, 16)


def test_what_the_training_texts_cannot_tell_stays_zero(make: Make) -> None:
    """Directions beyond the rank are rounding noise in training, and would not be in other texts."""
    texts = ["red apple", "green pear", "red apple", "green pear"]
    features = make(n_components=4).fit(texts).transform(["red pear", "apple green", "red"])
    assert np.count_nonzero(np.abs(features).sum(axis=0)) == 2


def test_the_vocabulary_is_bounded(make: Make, tmp_path: Path) -> None:
    make(n_components=4, max_features=5).fit(TEXTS).save(tmp_path)
    assert len(json.loads((tmp_path / "tfidf.json").read_text())["terms"]) == 5


def test_saved_and_loaded_gives_equal_features_without_pickle(make: Make, tmp_path: Path) -> None:
    extractor = make(n_components=8).fit(TEXTS)
    extractor.save(tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy", ".npy"]
    assert np.array_equal(make(n_components=8).load(tmp_path).transform(TEXTS), extractor.transform(TEXTS))


def test_refit_forgets(make: Make) -> None:
    extractor = make(n_components=8).fit(TEXTS)
    assert not extractor.fit(["..."]).transform(TEXTS).any()
    assert np.array_equal(extractor.fit(TEXTS).transform(TEXTS), make(n_components=8).fit(TEXTS).transform(TEXTS))


@pytest.mark.parametrize("file", ["tfidf.json", "idf.npy", "components.npy"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"version": 1}', b"\x93NUMPY broken"])
def test_what_is_absent_or_broken_is_named(make: Make, tmp_path: Path, file: str, content: bytes | None) -> None:
    make(n_components=8).fit(TEXTS).save(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(StoreError, match=str(tmp_path)):
        make(n_components=8).load(tmp_path)


def test_another_width_is_not_loaded(make: Make, tmp_path: Path) -> None:
    make(n_components=8).fit(TEXTS).save(tmp_path)
    with pytest.raises(StoreError, match=r"feature_extractor\.n_components=9"):
        make(n_components=9).load(tmp_path)


def test_unfitted_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not been fitted"):
        make().transform(TEXTS)
    with pytest.raises(RuntimeError, match="not been fitted"):
        make().save(tmp_path)


def test_every_value_and_the_version_are_in_the_cache_key(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = canonical_json(make().cache_key())
    for field in ("n_components", "max_ngram", "max_features"):
        assert canonical_json(make(**{field: 7}).cache_key()) != plain
    fitted = make()
    fitted.fit(TEXTS)
    assert canonical_json(fitted.cache_key()) == plain
    monkeypatch.setattr(Tfidf, "VERSION", Tfidf.VERSION + 1)
    assert canonical_json(make().cache_key()) != plain


@pytest.mark.parametrize("key", ["n_components", "max_ngram", "max_features"])
def test_a_value_out_of_range_names_its_key(make: Make, key: str) -> None:
    with pytest.raises(ConfigError, match=f"feature_extractor.{key}=0; expected a whole number from 1 to"):
        make(**{key: 0})


def test_importing_is_light() -> None:
    code = "import sys, alchemist_exp.features.tfidf; assert not {'sklearn', 'scipy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(config.__file__).parents[1])


CHINESE = [f"{word}{end}" for word in ("免费领取大奖", "昨天的电影很有意思", "点击链接") for end in "吧他我了吗呢"]


def test_characters_are_compared_where_there_are_no_words(make: Make) -> None:
    new = ["免费大奖呀", "电影很好看呀"]
    assert not make(n_components=8).fit(CHINESE).transform(new).any()
    features = make(n_components=8, analyzer=Analyzer.char_wb).fit(CHINESE).transform(new)
    assert features.any(axis=1).all()


def test_the_analyzer_is_saved_and_part_of_the_key_unless_it_is_words(make: Make, tmp_path: Path) -> None:
    assert "analyzer" not in make().key()
    characters = make(n_components=4, analyzer=Analyzer.char_wb)
    assert canonical_json(characters.key()) != canonical_json(make(n_components=4).key())
    characters.fit(CHINESE).save(tmp_path)
    loaded = make(n_components=4, analyzer=Analyzer.char_wb).load(tmp_path)
    assert np.array_equal(loaded.transform(CHINESE), characters.transform(CHINESE))


def test_the_advice_for_features_of_zero_is_something_else(make: Make) -> None:
    assert "feature_extractor=tfidf_chars" in make().advice_for_zeros
    assert "tfidf_chars" not in make(analyzer=Analyzer.char_wb).advice_for_zeros
