"""Removes the reasoning that some models and servers put into the text of a response, next to the answer."""

import re
from typing import Final

_NAMES: Final = "think|thinking|thought|thoughts|reasoning"
# <think> of DeepSeek and Qwen, [THINK] of Mistral, <seed:think> of Seed, ◁think▷ of Kimi, <|START_THINKING|> of Cohere,
# <|begin_of_thought|> of OpenThinker.
_OPENING: Final = (
    rf"(?:<(?:\w+:)?(?:{_NAMES})>|\[(?:{_NAMES})\]|◁(?:{_NAMES})▷|<\|(?:start|begin)_(?:of_)?(?:{_NAMES})\|>)"
)
_CLOSING: Final = rf"(?:</(?:\w+:)?(?:{_NAMES})>|\[/(?:{_NAMES})\]|◁/(?:{_NAMES})▷|<\|end_(?:of_)?(?:{_NAMES})\|>)"
_CLOSED: Final = re.compile(_CLOSING, re.IGNORECASE)
_OPENED: Final = re.compile(_OPENING, re.IGNORECASE)
_UNCLOSED: Final = re.compile(rf"^[ \t]*{_OPENING}", re.IGNORECASE | re.MULTILINE)
"""Only at the beginning of a line: a sentence may mention a tag."""

_CHANNEL: Final = re.compile(r"<\|channel\|>\s*(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_END_OF_MESSAGE: Final = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
"""The harmony format of gpt-oss: messages in the channels analysis, commentary and final."""

_BARE_CHANNELS: Final = re.compile(r"^analysis(?=\S).*assistant(?:commentary.*assistant)?final", re.DOTALL)
"""The harmony format from a server that removes the special tokens: "analysis...assistantfinal..."."""


def without_reasoning(text: str) -> str:
    """Return the part of a response that is the answer.

    Reasoning that is not closed reaches to the end of the text: a model that ran out of tokens while it reasoned has
    not answered.

    Args:
        text: The text of a response.

    Returns:
        The text without reasoning; unchanged if there is none.

    Example:
        >>> without_reasoning("<think>It sells something.</think>spam")
        'spam'
        >>> without_reasoning("<|channel|>analysis<|message|>Hm.<|end|><|channel|>final<|message|>ham")
        'ham'

    """
    channels = list(_CHANNEL.finditer(text))
    if final := [match for match in channels if match["name"] == "final"]:
        text = _END_OF_MESSAGE.split(text[final[-1].end() :], maxsplit=1)[0]
    else:
        text = text[: channels[0].start()] if channels else _BARE_CHANNELS.sub("", text, count=1)
    if closed := list(_CLOSED.finditer(text)):
        # Chat templates may leave out the opening tag, and drafts may stand between two stretches of reasoning.
        after = text[closed[-1].end() :]
        opened = _OPENED.search(text)
        text = after if after.strip() or opened is None else text[: opened.start()]
    unclosed = _UNCLOSED.search(text)
    return text[: unclosed.start()] if unclosed else text
