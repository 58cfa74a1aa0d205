"""Reads the lines of a batch's results. They are untrusted: any may be broken, repeated or about something else."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.providers.base import BatchResults
from alchemist_exp.llm.providers.errors import clean
from alchemist_exp.llm.types import Response, TransientError

TRANSFER_S = 1800.0
"""Seconds for sending or fetching a whole batch."""


def read_results(
    raw: bytes, answer_of: Callable[[Mapping[str, Any]], Response], *, key: str, shortfall: str
) -> BatchResults:
    """The answers in JSONL, by custom_id; of several under one id the first.

    answer_of: the reply in a line; raises Unanswered or LLMError where there is none. key: what must not be shown.
    """
    answers: dict[str, Response | TransientError | LLMError] = {}
    unreadable = 0
    for line in raw.splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name = row["custom_id"]
        except (ValueError, RecursionError, TypeError, KeyError):
            name = None
        if not isinstance(name, str):
            unreadable += 1
        elif name not in answers:
            answers[name] = _answer(row, answer_of, key)
    return BatchResults(answers=answers, unreadable=unreadable, shortfall=shortfall)


def _answer(
    row: Mapping[str, Any], answer_of: Callable[[Mapping[str, Any]], Response], key: str
) -> Response | TransientError | LLMError:
    try:
        reply = answer_of(row)
    except TransientError as fault:
        return TransientError(clean(str(fault), key), fault.retry_after_s)
    except LLMError as error:
        return error
    return replace(reply, model=clean(reply.model, key), batch=True)
