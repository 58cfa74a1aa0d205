import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum

import pytest

from alchemist_exp.core.hashing import canonical_json, key_of, texts_fingerprint


class Colour(StrEnum):
    red = "red"


@dataclass
class Point:
    x: int
    colour: Colour


def test_equal_values_have_equal_keys_in_any_order() -> None:
    assert key_of("t", {"a": 1, "b": [Point(1, Colour.red)]}) == key_of("t", {"b": [Point(1, Colour.red)], "a": 1})


def test_different_tags_or_values_give_different_keys() -> None:
    assert len({key_of("t", 1), key_of("u", 1), key_of("t", "1"), key_of("t", 1.0), key_of("t", [1])}) == 5


def test_keys_are_the_same_in_another_process() -> None:
    code = "from alchemist_exp.core.hashing import key_of; print(key_of('t', {'a': 'é', 'b': 2.5}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == key_of("t", {"a": "é", "b": 2.5})


def test_nan_and_unknown_types_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))
    with pytest.raises(TypeError):
        canonical_json(object())


def test_text_boundaries_alter_the_fingerprint() -> None:
    assert texts_fingerprint(["ab", "c"]) != texts_fingerprint(["a", "bc"])
    assert texts_fingerprint([]) != texts_fingerprint([""])
    assert len(texts_fingerprint(["lone surrogate \ud800"])) == 24
