"""Repair: whether a rejected program goes back to the LLM, and what the LLM may learn about the reason."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.data.text_data import TextData

HIDDEN: Final = "[text of a row]"
_QUOTED, _STEP = 12, 6
"""A message quotes a row when it shares this many letters and digits with it; the search starts at every sixth."""

_OTHER = re.compile(r"[\W_]+")


@component("repair", "repair")
@dataclass(kw_only=True)
class Repair(Component):
    """How often rejected programs are repaired; conf/repair/off.yaml explains each value."""

    attempts: int = MISSING
    max_responses: int | None = MISSING

    def __post_init__(self) -> None:
        """Refuse negative numbers of attempts and responses below 1."""
        if self.attempts < 0:
            raise ConfigError(f"repair.attempts is {self.attempts}; expected 0 or more.")
        if self.max_responses is not None and self.max_responses < 1:
            raise ConfigError(f"repair.max_responses is {self.max_responses}; expected 1 or more, or null.")


class RowRedactor:
    """Removes from error messages what they quote of the rows.

    The rows are the user's data, and a program can raise an error with a whole row in it. Only letters and digits are
    compared, in lower case, with everything between them ignored, because programs lower-case, split and quote texts.
    A quotation of fewer than a dozen letters and digits, or one that is spelled differently, is not found.
    """

    def __init__(self, data: TextData) -> None:
        """Redact the rows of all splits of `data`."""
        self._data = data

    def redact(self, reason: str) -> str:
        """Return a message without quotations of rows.

        Args:
            reason: The message.

        Returns:
            The message on one line; each stretch that also occurs in a row is replaced by `HIDDEN`.

        """
        reason = sanitize(reason)
        # Each compared character with its position in the message: case folding can turn one character into two.
        positions = [(c, at) for at, character in enumerate(reason) for c in _compared(character)]
        letters = "".join(c for c, _ in positions)
        hidden = [False] * len(reason)
        for at in range(0, len(letters) - _QUOTED + 1, _STEP):
            if letters[at : at + _QUOTED] in self._rows:
                # The longest stretch around these letters that occurs in a row; it grows to the left first.
                first, last = at, at + _QUOTED
                while first > 0 and letters[first - 1 : last] in self._rows:
                    first -= 1
                while last < len(letters) and letters[first : last + 1] in self._rows:
                    last += 1
                begin, end = positions[first][1], positions[last - 1][1] + 1
                hidden[begin:end] = [True] * (end - begin)
        shown = "".join("\0" if h else character for h, character in zip(hidden, reason, strict=True))
        return re.sub("\0+", HIDDEN, shown)

    @cached_property
    def _rows(self) -> str:
        rows = (row for split in self._data.splits for row in self._data.texts(split))
        texts = map(self._data.kind.content, rows)
        return "\n".join(map(_compared, texts))


def _compared(text: str) -> str:
    return _OTHER.sub("", text.casefold())
