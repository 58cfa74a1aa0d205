"""Replays recorded replies, so that a run needs no key and no network.

A pack is a JSONL file; each line has system, prompt, sample, model and response. A prompt that differs from every
recorded one by a single character is refused: a reply must answer the question that is asked.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import LLMError, unknown_name
from alchemist_exp.core.hashing import bytes_fingerprint
from alchemist_exp.llm.types import LLM, FinishReason, Message, Request, Response, Role

RECORDINGS = Path(__file__).parents[1] / "recordings"
"""Package data: one pack per task."""


class RecordedPrompt(NamedTuple):
    """What a recorded reply answers."""

    system: str
    prompt: str
    sample: int


class RecordedResponse(NamedTuple):
    """A recorded reply and the model that wrote it."""

    text: str
    model: str


def pack_of(replies: Mapping[RecordedPrompt, RecordedResponse]) -> bytes:
    """The file that replays `replies`."""
    rows = (
        {"sample": question.sample, "model": reply.model, "system": question.system}
        | {"prompt": question.prompt, "response": reply.text}
        for question, reply in replies.items()
    )
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    # A lone surrogate becomes the escape that JSON reads back as the same surrogate.
    return text.encode("utf-8", "backslashreplace")


@component("llm", "recorded")
@dataclass(kw_only=True)
class RecordedLLM(LLM):
    """The replies of a pack: a name that the package ships, or the path of a .jsonl file."""

    replays = True
    recording: str = MISSING
    tokenizer: str | None = MISSING

    def check(self) -> None:
        """LLMError when the pack is absent or broken."""
        _ = self.replies

    def cache_key(self) -> dict[str, object]:
        """The pack's content counts, wherever it lies."""
        return super().cache_key() | {"recording": bytes_fingerprint(self._raw)}

    @property
    def path(self) -> Path:
        """The pack's file. LLMError when there is none."""
        if self.recording.endswith(".jsonl"):
            path = resolve_user_path(self.recording, "llm.recording")
            if not path.is_file():
                raise LLMError(
                    f"llm.recording is {self.recording!r}, which is not a file; name a pack or a .jsonl file."
                )
            return path
        path = RECORDINGS / f"{self.recording}.jsonl"
        if not path.is_file():
            known = (p.stem for p in RECORDINGS.glob("*.jsonl"))
            raise LLMError(
                f"{unknown_name('the recorded pack', self.recording, known)} For data without recordings ask a model, "
                "llm=openai, or write programs yourself: method=program_files method.path=DIR."
            )
        return path

    @cached_property
    def replies(self) -> dict[RecordedPrompt, RecordedResponse]:
        """All recorded replies. LLMError with the line of what is wrong."""
        replies: dict[RecordedPrompt, RecordedResponse] = {}
        for number, line in enumerate(self._lines, start=1):
            try:
                row = json.loads(line)
                question = RecordedPrompt(row["system"], row["prompt"], row["sample"])
                replies[question] = RecordedResponse(row["response"], row["model"])
            except (ValueError, TypeError, KeyError) as error:
                raise LLMError(f"{self.path}: line {number} is not a recorded reply ({error!r}).") from error
        return replies

    @property
    def prompts_for_variety(self) -> bool:
        """Whether the pack was: each prompt of its samples then goes on where that of sample 0 ends."""
        first = {(q.system, q.prompt) for q in self.replies if q.sample == 0}
        later = [q for q in self.replies if q.sample > 0]
        if any((q.system, q.prompt) in first for q in later):
            return False
        return any(q.system == system and q.prompt.startswith(prompt) for q in later for system, prompt in first)

    @property
    def encoding(self) -> str | None:
        """`tokenizer`: the tokenizer of the model whose prices are given."""
        return self.tokenizer

    @cached_property
    def _raw(self) -> bytes:
        return self.path.read_bytes()

    @property
    def _lines(self) -> list[str]:
        try:
            return self._raw.decode("utf-8").rstrip("\n").split("\n")
        except UnicodeDecodeError as error:
            raise LLMError(f"{self.path} is not UTF-8 (byte {error.start}).") from error

    def request(
        self,
        system: str,
        prompt: str,
        *,
        sample: int = 0,
        schema: Mapping[str, Any] | None = None,
        max_output_tokens: int | None = None,
    ) -> Request:
        """The request that asks `prompt`; the pack is one of its parameters, the rest is not."""
        messages = (Message(role=Role.SYSTEM, text=system), Message(role=Role.USER, text=prompt))
        parameters = {"pack": self.recording}
        return Request(provider=self.name, model=self.model, messages=messages, parameters=parameters, sample=sample)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["RecordedLLM"]:
        """The pack itself."""
        yield self

    async def complete(self, request: Request) -> Response:
        """See `reply`."""
        return self.reply(request)

    def reply(self, request: Request) -> Response:
        """The recorded reply to `request`. LLMError, showing where the prompts part, when none was recorded."""
        system, prompt = (message.text for message in request.messages)
        reply = self.replies.get(RecordedPrompt(system, prompt, request.sample))
        if reply is None:
            raise LLMError(self._refusal(system, prompt, request.sample))
        finish = FinishReason.COMPLETE if reply.text.strip() else FinishReason.EMPTY
        return Response(text=reply.text, model=reply.model, finish_reason=finish, usage=None)

    def _refusal(self, system: str, prompt: str, sample: int) -> str:
        same = [q.sample for q in self.replies if (q.system, q.prompt) == (system, prompt)]
        if same:
            return (
                f"the pack {self.path.name} has {len(same)} replies to this prompt, and sample {sample} is not one of "
                f"them; ask for at most {len(same)} programs (method.n_programs={len(same)})."
            )
        recorded = {q.prompt for q in self.replies if q.system == system}
        nearest = max(recorded, key=lambda p: (_common(p, prompt), -len(p)), default="")
        at = _common(nearest, prompt)
        return (
            f"the prompt was never recorded in the pack {self.path.name}: the nearest recorded one goes on with "
            f"{nearest[at : at + 40]!r} where {prompt[at : at + 40]!r} is asked (character {at}); "
            "put the task's words and the supplement back as recorded, or have a model asked: llm=openai."
        )


def _common(one: str, other: str) -> int:
    """How many characters the two begin with in common."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
