"""Read concepts: from the response of an LLM in any of several layouts, or from a user's file in one layout."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from alchemist_exp.concepts.types import Concept, ConceptSet
from alchemist_exp.core.atomic_io import read_prefix
from alchemist_exp.core.errors import ConfigError

MAX_CONCEPTS: Final = 50
"""Each concept is one more line of every prompt, and an LLM names fewer than 20."""

MAX_CHARACTERS: Final = 100_000
"""Characters of a response. A longer one is no list of concepts."""

MAX_BYTES: Final = 400_000
"""Size of a user's file."""

_NAME_KEYS: Final = ("name", "concept")
_QUOTED_CHARACTERS: Final = 60
# Braces and brackets of sentences ("{x}", "[1]") do not begin a JSON value of interest.
_JSON_START: Final = re.compile(r"""\{\s*+["}]|\[\s*+[\[{"\]]""")

_Object = tuple[tuple[str, Any], ...]
"""A JSON object as its pairs, so that repeated keys stay visible. A JSON array is a list."""

# Control characters in strings are accepted. A whole number would be refused if it had more than 4,300 digits.
_DECODER: Final = json.JSONDecoder(strict=False, object_pairs_hook=tuple, parse_int=float)


def parse_concepts(text: str, classes: Sequence[str]) -> ConceptSet:
    """Read the concepts in an LLM's response.

    The JSON may be in a code block or between sentences. It has one of these layouts, for classes a and b:
    `{"bill": {"a": "...", "b": "..."}}`, the same as the only value of an outer object, or
    `[{"name": "bill", "a": "...", "b": "..."}]`. A description is a string or a list of strings.

    Args:
        text: The text of the response.
        classes: The class names, in class order. Case, space, a plural "s", underscores and hyphens do not matter.

    Returns:
        The concepts of the first JSON value that has them.

    Raises:
        ValueError: There are none. The message is one sentence that tells the LLM what to change.

    Example:
        >>> parse_concepts('They are: {"Feet": {"Ducks": "Webbed feet", "finch": "Toed feet"}}', ["finch", "duck"])
        ConceptSet(concepts=(Concept(name='Feet', descriptions=('Toed feet', 'Webbed feet')),))

    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the response has {len(text):,} characters; write at most {MAX_CHARACTERS:,}")
    problems = {0: f"the response has no JSON; write {_layout(classes)}"}
    for n_characters, value in _json_values(text):
        try:
            return _concept_set(_unwrap(value), classes, other_keys=True)
        except ValueError as error:
            problems.setdefault(n_characters, str(error))
    raise ValueError(problems[max(problems)])


def read_concepts(path: Path, key: str, classes: Sequence[str]) -> ConceptSet:
    """Read a user's file of concepts.

    Args:
        path: A JSON file in UTF-8: `{"bill": {"a": "...", "b": "..."}}` for classes a and b.
        key: The configuration key of the path, for messages.
        classes: The class names, in class order.

    Returns:
        The concepts, in the order of the file.

    Raises:
        ConfigError: The file cannot be read, or has another layout.

    """
    try:
        raw = read_prefix(path, MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes; write fewer or shorter descriptions")
        return _concept_set(_DECODER.decode(raw.decode("utf-8-sig")), classes, other_keys=False)
    except OSError as error:
        problem = f"it cannot be read ({error.strerror}); it must be a JSON file with {_layout(classes)}"
    except UnicodeDecodeError:
        problem = "it is not UTF-8; save it in that encoding"
    except json.JSONDecodeError as error:
        problem = f"it is not valid JSON ({_where(error)}); write {_layout(classes)}"
    except RecursionError:
        problem = f"its JSON is nested too deeply; write {_layout(classes)}"
    except ValueError as error:
        problem = str(error)
    raise ConfigError(f"{key} is {str(path)!r}, but {problem}.")


def _json_values(text: str) -> Iterator[tuple[int, Any]]:
    """Yield each JSON object or array of a text, with its number of characters.

    Raises:
        ValueError: One is broken. Objects inside it or after it would be only a part of the concepts.

    """
    end = 0
    while found := _JSON_START.search(text, end):
        begin = found.start()
        try:
            value, end = _DECODER.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            if error.msg.startswith("Unterminated string") or not text[error.pos :].strip():
                problem = "the JSON is cut off at its end; write fewer concepts or shorter descriptions"
            else:
                problem = f"the JSON is not valid ({_where(error)}); write one valid JSON object"
            raise ValueError(problem) from None
        except RecursionError:
            raise ValueError("the JSON is nested too deeply; write an object with one object per concept") from None
        yield end - begin, value


def _unwrap(value: Any) -> Any:
    """Return the concepts inside an outer object, and an array of concepts as an object."""
    if isinstance(value, tuple) and len(value) == 1:
        inner = value[0][1]
        if _has_objects(inner) or (isinstance(inner, tuple) and all(isinstance(of, tuple) for _, of in inner)):
            value = inner
    return tuple(map(_named, value)) if _has_objects(value) else value


def _has_objects(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(part, tuple) for part in value)


def _named(concept: _Object) -> tuple[str, _Object]:
    """Return the name of a concept of an array, and its other pairs."""
    names = [(key, name) for key, name in concept if key.strip().casefold() in _NAME_KEYS and isinstance(name, str)]
    if not names:
        raise ValueError(f"an object in the array has no name; add {_NAME_KEYS[0]!r}: the name of the concept")
    return names[0][1], tuple(pair for pair in concept if pair != names[0])


def _concept_set(value: Any, classes: Sequence[str], *, other_keys: bool) -> ConceptSet:
    """Return the concepts in an object of objects.

    Args:
        value: A JSON value.
        classes: The class names, in class order.
        other_keys: Whether a concept may have keys that are not classes, next to all classes.

    """
    if not isinstance(value, tuple):
        raise ValueError(f"the JSON is {_kind(value)}; expected an object with one object per concept")
    if not value:
        raise ValueError("the JSON has no concepts; write at least one")
    if len(value) > MAX_CONCEPTS:
        raise ValueError(f"there are {len(value)} concepts; write at most {MAX_CONCEPTS}")
    concepts = tuple(_concept(name, found, classes, other_keys=other_keys) for name, found in value)
    name, n_concepts = Counter(concept.name.casefold() for concept in concepts).most_common(1)[0]
    if n_concepts > 1:
        raise ValueError(f"{n_concepts} concepts have the name {_quote(name)}; give each another name")
    return ConceptSet(concepts=concepts)


def _concept(name: str, value: Any, classes: Sequence[str], *, other_keys: bool) -> Concept:
    """Return one concept; see `_concept_set`."""
    quoted = _quote(name)
    if not _clean(name):
        raise ValueError("a concept has an empty name; give it a name")
    if not isinstance(value, tuple):
        raise ValueError(f"the concept {quoted} is {_kind(value)}; expected an object with one description per class")
    texts: dict[int, str] = {}
    others = []
    for key, description in value:
        # The class of the same name, or else the only one with a similar name.
        similar = [index for index, known in enumerate(classes) if _simplified(known) == _simplified(key)]
        index = classes.index(key) if key in classes else similar[0] if len(similar) == 1 else None
        if index is None:
            others.append(key)
        elif index in texts:
            raise ValueError(f"the concept {quoted} has two descriptions for the class {classes[index]!r}; write one")
        else:
            texts[index] = _description(description, quoted, classes[index])
    if others and not (texts and other_keys):
        raise ValueError(
            f"the concept {quoted} has the key {_quote(others[0])}, which is not a class; expected the classes "
            f"{', '.join(map(repr, classes))}"
        )
    for index, name_of_class in enumerate(classes):
        if index not in texts:
            raise ValueError(f"the concept {quoted} has no description for the class {name_of_class!r}; add one")
    if len(classes) > 1 and len({*texts.values()}) == 1:
        raise ValueError(f"the concept {quoted} has the same description for all classes; describe how they differ")
    return Concept(name=_clean(name), descriptions=tuple(texts[index] for index in range(len(classes))))


def _simplified(name: str) -> str:
    return " ".join(re.sub("[_-]", " ", name).split()).casefold().removesuffix("s")


def _description(value: Any, concept: str, name_of_class: str) -> str:
    """Return a description on one line; `concept` is quoted."""
    where = f"the description of the class {name_of_class!r} in the concept {concept}"
    parts = value if isinstance(value, list) else [value]
    for part in parts:
        if not isinstance(part, str):
            raise ValueError(f"{where} is {_kind(part)}; expected a string")
    text = ", ".join(filter(None, map(_clean, parts)))
    if not text:
        raise ValueError(f"{where} is empty; write one")
    return text


def _clean(text: str) -> str:
    """Replace runs of whitespace, control characters and lone surrogates by one space."""
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text).split())


def _kind(value: Any) -> str:
    kinds = {tuple: "an object", list: "an array", str: "a string", float: "a number", bool: "a boolean"}
    return kinds.get(type(value), "null")


def _quote(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}...")


def _where(error: json.JSONDecodeError) -> str:
    return f"{error.msg} at line {error.lineno}, column {error.colno}"


def _layout(classes: Sequence[str]) -> str:
    """Return the expected layout, with two classes at most."""
    shown = ", ".join(f'"{name}": "..."' for name in classes[:2])
    return f'{{"concept name": {{{shown}{", ..." if len(classes) > 2 else ""}}}, ...}}'
