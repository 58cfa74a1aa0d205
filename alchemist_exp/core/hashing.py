"""Content addresses: the same content gives the same key on every machine and in every process."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

KEY_LENGTH = 24
"""Hex digits of a sha256 that are kept: 96 bits, short enough for a directory name."""

_UNCHANGED: Final = frozenset({str, int, float, bool, type(None)})


def to_jsonable(value: Any) -> Any:
    """Convert a value to types that the json module can write.

    Args:
        value: Dataclasses become mappings, enum members their values, paths and mapping keys strings, tuples lists.

    Returns:
        The converted value; types that are not listed above are returned unchanged.

    """
    if type(value) in _UNCHANGED:  # most values; the checks below are slower
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_jsonable(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_jsonable(v) for k, v in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [to_jsonable(v) for v in value]
    return value


def canonical_json(value: Any) -> str:
    """Return the one JSON text that equal values share: sorted keys, no spaces.

    Args:
        value: Anything that `to_jsonable` converts completely.

    Returns:
        The JSON text, without escapes for characters outside ASCII.

    Raises:
        TypeError: A part of the value has no JSON form.
        ValueError: A number is NaN or infinite.

    """
    return json.dumps(to_jsonable(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(tag: str, value: Any) -> str:
    """Return the content address of a value.

    Args:
        tag: What the value describes; equal values under different tags have different keys.
        value: Anything that `canonical_json` accepts.

    Returns:
        `KEY_LENGTH` hex digits.

    Example:
        >>> key_of("votes", {"rows": 2, "program": "p"}) == key_of("votes", {"program": "p", "rows": 2})
        True

    """
    text = join_surrogates(f"{tag}\n{canonical_json(value)}")
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]


def join_surrogates(text: str) -> str:
    """Replace each pair of surrogates by the character that it encodes.

    A text then has the same key before and after it was written as JSON and read back.

    Args:
        text: Any text; lone surrogates in it stay.

    Returns:
        The text as JSON returns it.

    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def texts_fingerprint(texts: Iterable[str]) -> str:
    """Return a key of a sequence of texts.

    Args:
        texts: The texts, in an order that counts. Each is hashed with its length: ["ab", "c"] differs from ["a", "bc"].

    Returns:
        `KEY_LENGTH` hex digits.

    """
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()[:KEY_LENGTH]


def bytes_fingerprint(raw: bytes) -> str:
    """Return a key of raw bytes: the first `KEY_LENGTH` hex digits of their sha256."""
    return hashlib.sha256(raw).hexdigest()[:KEY_LENGTH]


@cache
def code_fingerprint() -> str:
    """Return a key of this package's source: a finished run is reused only by the code that made it."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:KEY_LENGTH]
