"""Returns recorded responses, so that a run needs no API key and no network.

A recording is a JSONL file; each line has the keys system, prompt, sample, model and response. A prompt that differs
from every recorded prompt by a single character is refused, since a response is only valid for its own prompt.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import LLMError
from alchemist_exp.core.hashing import bytes_fingerprint
from alchemist_exp.llm.types import LLM, FinishReason, Message, Request, Response, Role

RECORDINGS = Path(__file__).parents[1] / "recordings"
"""Package data: one recording per dataset."""


class RecordedPrompt(NamedTuple):
    """The part of a request that a recorded response is looked up by."""

    system: str
    prompt: str
    sample: int


class RecordedResponse(NamedTuple):
    """A recorded text and the model that wrote it."""

    text: str
    model: str


def dump_recording(responses: Mapping[RecordedPrompt, RecordedResponse]) -> bytes:
    """Return the content of a recording's file.

    Args:
        responses: The response to each prompt.

    Returns:
        JSON lines in UTF-8.

    """
    rows = (
        {"sample": prompt.sample, "model": response.model, "system": prompt.system}
        | {"prompt": prompt.prompt, "response": response.text}
        for prompt, response in responses.items()
    )
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    # UTF-8 cannot encode a lone surrogate; it is written as the escape that JSON reads back as the same surrogate.
    return text.encode("utf-8", "backslashreplace")


@component("llm", "recorded")
@dataclass(kw_only=True)
class RecordedLLM(LLM):
    """The responses of a recording.

    Attributes:
        recording: The name of a recording in the package, or the path of a .jsonl file.
        tokenizer: The tokenizer for cost estimates, or None to estimate from bytes.

    """

    replays = True
    recording: str = MISSING
    tokenizer: str | None = MISSING

    def check(self) -> None:
        """Check that the recording can be read.

        Raises:
            LLMError: It is missing or broken.

        """
        _ = self.responses

    def cache_key(self) -> dict[str, object]:
        """Return the values that alter responses; the recording's content counts, not its path."""
        return super().cache_key() | {"recording": bytes_fingerprint(self._content)}

    @property
    def path(self) -> Path:
        """The recording's file; LLMError if it does not exist."""
        if self.recording.endswith(".jsonl"):
            path = resolve_user_path(self.recording, "llm.recording")
            if not path.is_file():
                raise LLMError(
                    f"llm.recording is {self.recording!r}, which is not a file; name a recording of the package or a "
                    ".jsonl file."
                )
            return path
        path = RECORDINGS / f"{self.recording}.jsonl"
        if not path.is_file():
            known = sorted(p.stem for p in RECORDINGS.glob("*.jsonl"))
            close = get_close_matches(self.recording, known, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else "."
            raise LLMError(
                f"llm=recorded has no responses for {self.recording!r}{guess} "
                f"It has responses for the datasets {', '.join(known)}. For other data choose an LLM (llm=openai, "
                "llm=anthropic or llm=openai_compatible), or write programs yourself (method=program_files "
                "method.path=DIR)."
            )
        return path

    @cached_property
    def responses(self) -> dict[RecordedPrompt, RecordedResponse]:
        """All recorded responses; LLMError with the number of a broken line."""
        try:
            # Not splitlines(), which would also split at U+2028 inside a text.
            lines = self._content.decode("utf-8").rstrip("\n").split("\n")
        except UnicodeDecodeError as error:
            raise LLMError(f"{self.path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
        responses: dict[RecordedPrompt, RecordedResponse] = {}
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                prompt = RecordedPrompt(row["system"], row["prompt"], row["sample"])
                response = RecordedResponse(row["response"], row["model"])
                known = responses.setdefault(prompt, response)
            except (ValueError, TypeError, KeyError) as error:
                raise LLMError(
                    f"{self.path}: line {number} is not a recorded response ({error!r}); correct or remove it."
                ) from error
            if known.text != response.text:
                raise LLMError(
                    f"{self.path}: line {number} has another response to the prompt and sample of an earlier line "
                    f"(sample {prompt.sample}); remove one of the two lines, or give one another sample."
                )
        return responses

    @property
    def prompts_for_variety(self) -> bool:
        """Whether the recorded prompts ask for variety: those of later samples then extend those of sample 0."""
        first = {(p.system, p.prompt) for p in self.responses if p.sample == 0}
        later = [p for p in self.responses if p.sample > 0]
        if any((p.system, p.prompt) in first for p in later):
            return False
        return any(p.system == system and p.prompt.startswith(prompt) for p in later for system, prompt in first)

    @property
    def encoding(self) -> str | None:
        """The tokenizer of the model whose prices are configured."""
        return self.tokenizer

    @cached_property
    def _content(self) -> bytes:
        return self.path.read_bytes()

    def request(
        self,
        system: str,
        prompt: str,
        *,
        sample: int = 0,
        schema: Mapping[str, Any] | None = None,
        max_output_tokens: int | None = None,
    ) -> Request:
        """Build the request for a prompt; see `LLM.request`.

        Returns:
            The request. The recording is its only parameter.

        """
        messages = (Message(role=Role.SYSTEM, text=system), Message(role=Role.USER, text=prompt))
        # "pack" is part of the keys of existing cache entries, so it keeps its earlier name.
        parameters = {"pack": self.recording}
        return Request(provider=self.name, model=self.model, messages=messages, parameters=parameters, sample=sample)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["RecordedLLM"]:
        """Return the recording itself as the client."""
        yield self

    async def complete(self, request: Request) -> Response:
        """Return the recorded response; see `response_to`.

        Raises:
            LLMError: None was recorded.

        """
        return self.response_to(request)

    def response_to(self, request: Request) -> Response:
        """Return the recorded response to a request.

        Args:
            request: A request built by `request`.

        Returns:
            The response, without usage.

        Raises:
            LLMError: None was recorded; the message shows where the prompt differs from the nearest recorded one.

        """
        system, prompt = (message.text for message in request.messages)
        recorded = self.responses.get(RecordedPrompt(system, prompt, request.sample))
        if recorded is None:
            raise LLMError(self._explain_missing(system, prompt, request.sample))
        finish_reason = FinishReason.COMPLETE if recorded.text.strip() else FinishReason.EMPTY
        return Response(text=recorded.text, model=recorded.model, finish_reason=finish_reason, usage=None)

    def _explain_missing(self, system: str, prompt: str, sample: int) -> str:
        n_samples = sum((p.system, p.prompt) == (system, prompt) for p in self.responses)
        if n_samples:
            return (
                f"the recording {self.path.name} has {n_samples} responses to this prompt, and sample {sample} is not "
                f"one of them; request at most {n_samples} programs (method.n_programs={n_samples})."
            )

        def n_common(other: str) -> int:
            """Return the length of the common prefix."""
            pairs = zip(other, prompt, strict=False)
            return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(other), len(prompt)))

        recorded = {p.prompt for p in self.responses if p.system == system}
        nearest = max(recorded, key=lambda other: (n_common(other), -len(other)), default="")
        at = n_common(nearest)
        return (
            f"the prompt is not in the recording {self.path.name}: the nearest recorded prompt has "
            f"{nearest[at : at + 40]!r} where this one has {prompt[at : at + 40]!r} (character {at}); restore the "
            "task's text and the supplement as recorded, or call a model (llm=openai)."
        )
