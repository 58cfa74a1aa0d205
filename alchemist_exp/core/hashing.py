"""Content addresses: the same content gives the same key on every machine and in every process."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

KEY_LENGTH = 24
"""Hex digits kept of a sha256: 96 bits, short enough for a folder's name."""


def to_jsonable(value: Any) -> Any:
    """`value` as what JSON knows: dataclasses become mappings, enums their values, paths and keys strings."""
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
    """One spelling for equal values: sorted keys, no spaces, no NaN. Raises TypeError for what JSON does not know."""
    return json.dumps(to_jsonable(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(tag: str, value: Any) -> str:
    """The key of `value` as a `tag`: equal values under different tags have different keys."""
    text = join_surrogates(f"{tag}\n{canonical_json(value)}")
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]


def join_surrogates(text: str) -> str:
    """`text` as JSON reads it back: two surrogates that make a pair are the one character they mean."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def texts_fingerprint(texts: Iterable[str]) -> str:
    """A key of a sequence of texts; where one ends and the next begins matters."""
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()[:KEY_LENGTH]


def bytes_fingerprint(raw: bytes) -> str:
    """A key of raw bytes."""
    return hashlib.sha256(raw).hexdigest()[:KEY_LENGTH]


@cache
def code_fingerprint() -> str:
    """A key of this package's source: a finished run answers only for the code that made it."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:KEY_LENGTH]
