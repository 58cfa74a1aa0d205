"""The code of labeler.py below its data. Standard library only: a copy of this file works without this package.

`python_labeler` replaces the block between the two marks by the data of a run.
"""

import functools
import json
import math
import operator
import os
import struct
import sys
import types
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

# --- data ---
CLASSES: tuple[str, ...] = ()
# The columns of a record and their types; None if a row is a text.
COLUMNS: dict[str, str] | None = None
# Modules that programs may import, as in the sandbox: an import that fails there fails here too.
MODULES: tuple[str, ...] = ()
# score of class c = BIAS[c] + sum over programs of WEIGHTS[program][1 + vote][c]; the vote -1 is to abstain.
BIAS: tuple[float, ...] = ()
WEIGHTS: tuple[tuple[tuple[float, ...], ...], ...] = ()
# How a score becomes a weight: exp, sigmoid or identity. A probability is a share of the weights.
LINK = "exp"
# Name and source of each program.
PROGRAMS: tuple[tuple[str, str], ...] = ()
# --- end of data ---

_TIE = 1e-6  # probabilities that differ by less are equal
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")
_INVISIBLE_OTHERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe0e\ufe0f\uffa0"

errors: dict[str, int] = {}
"""The number of rows on which each program has raised an error; it abstains on these rows."""


def label(row: Any) -> tuple[str | None, float]:
    """Return the most probable class of a row and its probability.

    Of equally probable classes one is drawn, by the same random numbers as in Alchemist: the same rows in the same
    order have the same labels.

    Args:
        row: A text, or a mapping of the columns if the rows are records; a column that is left out is missing.

    Returns:
        The name of the class and its probability; (None, 0.0) if no program votes or the row has no content.

    Raises:
        TypeError: The row is neither.
        ValueError: A value of a record has the wrong type.

    """
    prepared = _prepared(row)
    if not _has_content(prepared):
        return None, 0.0
    found = _posterior(_votes(prepared))
    if found is None:
        _ties.draw(len(CLASSES))
        return None, 0.0
    probs, largest = found
    chosen = largest[0]
    if len(largest) > 1:
        order = _ties.draw(len(CLASSES))
        chosen = max(largest, key=order.__getitem__)
    return CLASSES[chosen], probs[chosen]


def probabilities(row: Any) -> dict[str, float] | None:
    """Return the probability of each class; None if no program votes or the row has no content."""
    prepared = _prepared(row)
    found = _posterior(_votes(prepared)) if _has_content(prepared) else None
    return None if found is None else dict(zip(CLASSES, found[0], strict=True))


def votes(row: Any) -> dict[str, str | None]:
    """Return the class that each program votes for; None where it abstains."""
    cast = _votes(_prepared(row))
    names = (name for name, _ in PROGRAMS)
    return {name: None if vote < 0 else CLASSES[vote] for name, vote in zip(names, cast, strict=True)}


def main() -> int:
    """Print label TAB probability for each line of standard input: a text, or a JSON object if rows are records."""
    if len(sys.argv) > 1:
        print("usage: python labeler.py < FILE, which prints label TAB probability for each line", file=sys.stderr)
        return 2
    output = sys.stdout
    for stream in (sys.stdin, output):
        # As `alchemist apply`: a line ends at a newline character only.
        stream.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")  # type: ignore[union-attr]
    with open(os.devnull, "w", encoding="utf-8") as nothing:  # noqa: PTH123
        sys.stdout = nothing  # programs may print
        try:
            return _label_lines(output)
        finally:
            sys.stdout = output


def _label_lines(output: TextIO) -> int:
    for number, line in enumerate(sys.stdin, start=1):
        text = line.removesuffix("\n").removesuffix("\r")
        try:
            name, probability = label(text if COLUMNS is None else json.loads(text))
        except (TypeError, ValueError) as error:
            print(f"error: line {number}: {error}", file=sys.stderr)
            return 1
        shown = "" if name is None else name.translate({9: "\\t", 10: "\\n", 13: "\\r"})
        print(shown, "" if name is None else f"{probability:.3f}", sep="\t", file=output)
    for name, count in errors.items():
        print(f"note: {name} raised an error on {count} row{'s' * (count != 1)} and abstains there", file=sys.stderr)
    return 0


def _prepared(row: Any) -> Any:
    """Return a row as programs receive it: a text, or a dict of all columns with values of their types."""
    if COLUMNS is None:
        if not isinstance(row, str):
            raise TypeError(f"expected a text, not {type(row).__name__}")
        return row
    if not isinstance(row, Mapping):
        raise TypeError(f"expected a record with {', '.join(COLUMNS)}, not {type(row).__name__}")
    if not any(name in row for name in COLUMNS):
        raise ValueError(f"expected a record with {', '.join(COLUMNS)}")
    return {name: _value(name, kind, row.get(name)) for name, kind in COLUMNS.items()}


def _value(name: str, kind: str, value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if type(value).__name__ == kind:
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "str":
        return json.dumps(value, ensure_ascii=False)
    if kind == "float" and is_number:
        return float(value)
    if kind == "int" and is_number and float(value).is_integer():
        return int(value)
    raise ValueError(f"{name} is {str(value)[:40]!r}; expected {kind}")


def _has_content(row: Any) -> bool:
    """Return whether a row has a visible character or another value; other rows get no label."""
    if isinstance(row, str):
        return any(unicodedata.category(c) not in _INVISIBLE and c not in _INVISIBLE_OTHERS for c in row)
    return any(_has_content(value) if isinstance(value, str) else value is not None for value in row.values())


def _votes(row: Any) -> tuple[int, ...]:
    cast = []
    for name, function in _functions:
        try:
            # A program may change the record that it receives.
            vote = function(row if COLUMNS is None else dict(row))
            cast.append(vote if type(vote) is int and -1 <= vote < len(CLASSES) else _checked_vote(vote))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001
            errors[name] = errors.get(name, 0) + 1
            cast.append(-1)
    return tuple(cast)


def _checked_vote(vote: Any) -> int:
    """Return a vote that is not an int: integers of other types count, True, 1.0 and other values are abstentions."""
    if isinstance(vote, bool):
        return -1
    try:
        number = operator.index(vote)
    except TypeError:
        return -1
    return number if 0 <= number < len(CLASSES) else -1


@functools.lru_cache(maxsize=100_000)
def _posterior(cast: tuple[int, ...]) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    """Return the probability of each class and the most probable classes; None without a vote."""
    if all(vote < 0 for vote in cast):
        return None
    scores = list(BIAS)
    for of_program, vote in zip(WEIGHTS, cast, strict=True):
        for c, weight in enumerate(of_program[1 + vote]):
            scores[c] += weight
    if LINK == "sigmoid":
        # Logarithms of the sigmoid, so that no score overflows.
        scores = [-math.log1p(math.exp(-s)) if s > 0 else s - math.log1p(math.exp(s)) for s in scores]
    weights = scores if LINK == "identity" else [math.exp(score - max(scores)) for score in scores]
    total = sum(weights)
    # In float32, as Alchemist stores probabilities.
    probs = tuple(_float32(weight / total) for weight in weights)
    limit = _float32(max(probs) - _TIE)
    return probs, tuple(c for c, prob in enumerate(probs) if prob >= limit)


def _float32(value: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)


class _RandomNumbers:
    """The numbers of numpy.random.default_rng(0).random(), by the generator PCG64 (O'Neill, 2014)."""

    def __init__(self) -> None:
        """Begin with the state that numpy has for the seed 0."""
        self._state = 35399562948360463058890781895381311971
        self._increment = 87136372517582989555478159403783844777

    def draw(self, count: int) -> list[float]:
        """Return the next numbers, each from 0 to below 1."""
        numbers = []
        for _ in range(count):
            self._state = (self._state * 47026247687942121848144207491837523525 + self._increment) % (1 << 128)
            folded, rotation = (self._state >> 64) ^ (self._state % (1 << 64)), self._state >> 122
            rotated = ((folded >> rotation) | (folded << (64 - rotation))) % (1 << 64)
            numbers.append(float(rotated >> 11) / (1 << 53))
        return numbers


_ties = _RandomNumbers()


def _load() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Run each program in a module of its own and yield its function."""
    for number, (name, source) in enumerate(PROGRAMS):
        module = types.ModuleType(f"label_program_{number}")
        sys.modules[module.__name__] = module  # dataclasses look up the module of a class here
        builtins = vars(__import__("builtins")) | {"__import__": _import}
        module.__dict__["__builtins__"] = builtins
        exec(compile(source, f"<{name}>", "exec", dont_inherit=True), module.__dict__)
        yield name, module.__dict__["label_function"]


def _import(name: str, *arguments: Any, **named: Any) -> Any:
    if not any(f"{name}.".startswith(f"{known}.") or f"{known}.".startswith(f"{name}.") for known in MODULES):
        raise ModuleNotFoundError(f"module {name!r} is not allowed in a labeling program", name=name)
    return __import__(name, *arguments, **named)


_functions = list(_load())

if __name__ == "__main__":
    sys.exit(main())
