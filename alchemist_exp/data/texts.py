"""What the texts of a split are like: rows without text, columns that hold no texts, texts that occur again."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import BoolArray, Split, read_only

MIN_SHARE_WITH_TEXT: Final = 0.05
"""Smallest share of rows with text; columns that few people fill in, such as remarks in a survey, have more."""

MAX_SHARE: Final = 0.95
"""A column of which more is numbers, dates or one text is not the column of the texts. The most frequent text of the
embedded data has a share of .06."""

MIN_ROWS: Final = 10
"""Of fewer rows, it is only checked that one has text."""

_INVISIBLE: Final = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))
_INVISIBLE_OTHERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe0e\ufe0f\uffa0")
"""Fillers, the empty braille pattern and variation selectors, which have the category of a letter, symbol or mark."""

_OTHERS = re.compile(r"[\W_]+")
_ASCII_OTHERS: Final = bytes(code for code in range(128) if _OTHERS.match(chr(code)))
_NUMBER = re.compile(r"[\W_]*\d(?:[\W\d_]|e[-+]?\d)*|nan", re.IGNORECASE)
"""Digits and signs without letters, such as a price or a date; 1e-5; nan."""


def has_text(text: str) -> bool:
    r"""Return whether a text has a visible character; a row without one gets no label.

    Args:
        text: The text of a row.

    Returns:
        False for an empty text, and for one of spaces, control and zero-width characters only.

    Example:
        >>> [has_text(text) for text in ("", " \n", "\u200b\ufeff", "?")]
        [False, False, False, True]

    """
    return any(unicodedata.category(c) not in _INVISIBLE and c not in _INVISIBLE_OTHERS for c in text)


def as_text(value: Any, row: int, where: str) -> str:
    """Return the text in a cell of the text column.

    Args:
        value: The value of the cell.
        row: The number of the row, for the message.
        where: The file, for the message.

    Returns:
        The text; "" if it is missing. Lone surrogates, which cannot be stored as UTF-8, are replaced.

    Raises:
        DataError: The value is a number or a list.

    """
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where}: row {row} has {type(value).__name__} {str(value)[:40]!r}; expected a text.")
    return value.encode("utf-8", "replace").decode("utf-8")


def letters_and_digits(text: str) -> str:
    """Return the lower-case letters and digits of a text, or the text itself if it has none; equal ones are repeats."""
    # ASCII as bytes, which takes a tenth of the time: 0.4 instead of 4 s for a million texts of 115 characters.
    folded = text.casefold()
    if folded.isascii():
        return folded.encode("ascii").translate(None, _ASCII_OTHERS).decode("ascii") or text
    return _OTHERS.sub("", folded) or text


def check_texts(texts: Sequence[str], n_rows: int, where: str) -> None:
    """Check that a column can be the column of the texts.

    Args:
        texts: The texts of a split without those that have no visible character.
        n_rows: The number of rows of the split.
        where: The split's file, for messages.

    Raises:
        DataError: Nearly all rows have no text, a number or the same text.

    """
    if len(texts) < MIN_SHARE_WITH_TEXT * n_rows or not texts:
        problem = f"{n_rows - len(texts):,} of {n_rows:,} rows have no text"
        advice = "or remove the rows without text from the file"
    elif len(texts) < MIN_ROWS:
        return
    elif (count := sum(_NUMBER.fullmatch(text) is not None for text in texts)) > MAX_SHARE * len(texts):
        problem = f"{count:,} of {len(texts):,} texts are numbers or dates, such as {_quoted(texts[0])}"
        advice = "or write the numbers as sentences"
    else:
        # By hashes, 8 bytes per row, see `find_repeats`.
        hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
        _, rows, counts = np.unique(hashes, return_index=True, return_counts=True)
        most = counts.argmax()
        text, count = texts[rows[most]], int(counts[most])
        if count <= MAX_SHARE * len(texts):
            return
        problem = f"{count:,} of {len(texts):,} texts are {_quoted(text)}"
        advice = "or remove the repeated rows from the file"
    raise DataError(
        f"{where}: {problem}, so this is not a column of texts to label; set dataset.text_column=NAME to the column of "
        f"the texts, {advice}."
    )


def _quoted(text: str) -> str:
    return repr(single_line(text)[:40])


@dataclass(frozen=True, kw_only=True, eq=False)
class Repeats:
    """Rows whose text occurs before. Texts with the same letters and digits count as equal.

    Attributes:
        within: By split, the rows whose text is in an earlier row of the split.
        across: By split and earlier split, the rows of the first whose text is also in the second.
        unseen: By split, a boolean array of shape (n_rows,): whether the text is in no earlier split.
        unchanged: By split, the rows whose text is in an earlier split with the same characters.

    """

    within: Mapping[Split, int]
    across: Mapping[Split, Mapping[Split, int]]
    unseen: Mapping[Split, BoolArray]
    unchanged: Mapping[Split, int]


def find_repeats(
    texts: Mapping[Split, Sequence[str]],
    key: Callable[[str], str] = letters_and_digits,
    exact_key: Callable[[str], str] = str,
) -> Repeats:
    """Find rows that occur again, in their own split or in another.

    Args:
        texts: The texts, or other rows, of each split, earlier splits first.
        key: Returns what is equal for repeats.
        exact_key: Returns what is equal for repeats without a change.

    Returns:
        The counts, and which rows are unseen.

    Example:
        >>> repeats = find_repeats({Split.TRAIN: ["Hello!", "a", "hello"], Split.TEST: ["hello", "b"]})
        >>> repeats.within[Split.TRAIN], repeats.across[Split.TEST][Split.TRAIN], repeats.unseen[Split.TEST].tolist()
        (1, 1, [False, True])
        >>> repeats.unchanged[Split.TEST]
        1

    """
    # Hashes, 16 bytes per row, instead of texts. Of a million rows two differ and collide with a chance of 3e-8.
    pair = np.dtype((np.int64, 2))
    both = {
        split: np.fromiter(((hash(key(text)), hash(exact_key(text))) for text in rows), pair, len(rows))
        for split, rows in texts.items()
    }
    hashes = {split: values[:, 0] for split, values in both.items()}
    across: dict[Split, dict[Split, int]] = {}
    unseen: dict[Split, BoolArray] = {}
    unchanged: dict[Split, int] = {}
    splits = list(texts)
    for number, split in enumerate(splits):
        known = {earlier: np.isin(hashes[split], hashes[earlier]) for earlier in splits[:number]}
        across[split] = {earlier: int(found.sum()) for earlier, found in known.items()}
        earlier_texts = np.concatenate([np.zeros(0, np.int64), *(both[earlier][:, 1] for earlier in splits[:number])])
        unchanged[split] = int(np.isin(both[split][:, 1], earlier_texts).sum())
        unseen[split] = read_only(~np.any([*known.values(), np.zeros(len(hashes[split]), bool)], axis=0), np.bool_)
    within = {split: len(values) - len(np.unique(values)) for split, values in hashes.items()}
    return Repeats(within=within, across=across, unseen=unseen, unchanged=unchanged)
