"""What becomes of a rejected program: how often it goes back to the LLM, and what the LLM may learn of the reason."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.data.base import TextData

HIDDEN: Final = "[text of a row]"
_QUOTED, _STEP = 12, 6
"""Letters and digits that a message shares with a row before it is taken to quote it, looked for at every sixth."""

_OTHER = re.compile(r"[\W_]+")


@component("repair", "repair")
@dataclass(kw_only=True)
class Repair(Component):
    """A repair group member; conf/repair explains its values."""

    attempts: int = MISSING
    max_responses: int | None = MISSING

    def __post_init__(self) -> None:
        if self.attempts < 0:
            raise ConfigError(f"repair.attempts is {self.attempts}; 0 or more is needed.")
        if self.max_responses is not None and self.max_responses < 1:
            raise ConfigError(f"repair.max_responses is {self.max_responses}; 1 or more, or null, is needed.")


class RowRedactor:
    """Takes out of error messages what they quote of the rows.

    The rows are the user's, and a program is free to raise an error with a whole row in it. Letters and digits are
    compared, in lower case and whatever lies between them: programs lower-case, split and quote. What is shorter than
    a dozen of them, or spelled otherwise, is not found.
    """

    def __init__(self, data: TextData) -> None:
        self._data = data

    def without_rows(self, reason: str) -> str:
        """`reason` on one line, every stretch hidden that also stands in a row."""
        reason = sanitize(reason)
        places = [(c, at) for at, character in enumerate(reason) for c in _compared(character)]
        letters = "".join(c for c, _ in places)
        hidden = [False] * len(reason)
        for at in range(0, len(letters) - _QUOTED + 1, _STEP):
            if letters[at : at + _QUOTED] in self._rows:
                first, last = self._quoted(letters, at, at + _QUOTED)
                begin, end = places[first][1], places[last - 1][1] + 1
                hidden[begin:end] = [True] * (end - begin)
        shown = "".join("\0" if h else character for h, character in zip(hidden, reason, strict=True))
        return re.sub("\0+", HIDDEN, shown)

    def _quoted(self, letters: str, first: int, last: int) -> tuple[int, int]:
        """The longest stretch around letters[first:last] that stands in a row; it grows to the left first."""
        while first > 0 and letters[first - 1 : last] in self._rows:
            first -= 1
        while last < len(letters) and letters[first : last + 1] in self._rows:
            last += 1
        return first, last

    @cached_property
    def _rows(self) -> str:
        texts = (text for split in self._data.splits for text in self._data.texts(split))
        return "\n".join(map(_compared, texts))


def _compared(text: str) -> str:
    """Its letters and digits."""
    return _OTHER.sub("", text.casefold())
