"""A run that completes requests in batches and keeps responses as files; a test may run it as a process and kill it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from alchemist_exp.llm.batch import complete_in_batches
from alchemist_exp.llm.providers.anthropic import AnthropicLLM
from alchemist_exp.llm.providers.base import CacheMode, Diversity, ProviderLLM
from alchemist_exp.llm.providers.openai import OpenAILLM
from alchemist_exp.llm.types import FinishReason, Request, Response

SPEC: dict[str, Any] = {
    "temperature": True,
    "seed": False,
    "structured_output": True,
    "batch": True,
    "encoding": None,
    "context_tokens": None,
    "max_output_tokens": None,
    "retired": None,
    "price": None,
}


def llm_of(provider: str, url: str, **values: Any) -> ProviderLLM:
    """Build a model whose requests go through a batch API.

    Args:
        provider: openai, responses (OpenAI's other API) or anthropic.
        url: The server's address.
        values: Fields that differ.

    Returns:
        The llm member.

    """
    common: dict[str, Any] = {
        "model": "m",
        "price": None,
        "temperature": 0.5,
        "max_output_tokens": 100,
        "seed": None,
        "diversity": Diversity.auto,
        "api_key_env": "TEST_KEY",
        "timeout_s": 30,
        "max_attempts": 3,
        "max_in_flight": 1,
        "requests_per_minute": None,
        "tokens_per_minute": None,
        "cache": CacheMode.use,
        "retry_failed": False,
        "batch": True,
    }
    if provider == "anthropic":
        spec = SPEC | {"api": "messages", "token_parameter": "max_tokens"}
        return AnthropicLLM(name="anthropic", base_url=url, spec=spec, **common | values)
    responses = provider == "responses"
    spec = SPEC | {
        "api": "responses" if responses else "chat",
        "token_parameter": "max_output_tokens" if responses else "max_completion_tokens",
    }
    return OpenAILLM(name="openai", base_url=f"{url}/v1", spec=spec, **common | values)


@dataclass
class Job:
    """A run that keeps complete responses under `directory`.

    Attributes:
        llm: The model.
        directory: Where responses and batch jobs are.
        notices: The messages for the user.
        waits: The seconds of each pause, which is shortened.
        on_wait: Called at each pause.
        kept: The number of responses that were written.
        killed_after: The number of responses after which the process kills itself.

    """

    llm: ProviderLLM
    directory: Path
    notices: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    on_wait: Callable[[], None] = lambda: None
    kept: int = 0
    killed_after: int | None = None

    def run(self, texts: Sequence[str]) -> dict[str, Response | str]:
        """Return the outcome of each text."""
        requests = {text: self.llm.request("system", text) for text in texts}
        outcomes = asyncio.run(self._complete(list(requests.values())))
        return {text: outcomes[request.key] for text, request in requests.items()}

    async def _complete(self, requests: Sequence[Request]) -> Mapping[str, Response | str]:
        async with self.llm.connect() as session:
            return await complete_in_batches(
                requests,
                self.llm,
                self.llm.batch_api(session),
                self.directory / "batches",
                cached=self.known,
                on_response=self.keep,
                notice=self.notices.append,
                poll_s=0.01 if self.killed_after is None else 0.001,
                sleep=self.wait,
            )

    def known(self, request: Request) -> Response | None:
        path = self.directory / request.key
        if not path.exists():
            return None
        text = path.read_text()
        return Response(text=text, model="m", finish_reason=FinishReason.COMPLETE, usage=None, from_cache=True)

    def keep(self, request: Request, response: Response) -> None:
        if response.finish_reason is FinishReason.COMPLETE:
            self.directory.mkdir(exist_ok=True)
            # By rename, because another run may read it at any time.
            written = self.directory / f"{request.key}.{uuid4()}"
            written.write_text(response.text)
            written.rename(self.directory / request.key)
            self.kept += 1
            if self.kept == self.killed_after:
                os.kill(os.getpid(), signal.SIGKILL)

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.on_wait()
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    provider, url, directory, killed_after, *texts = sys.argv[1:]
    job = Job(llm_of(provider, url), Path(directory), killed_after=int(killed_after) or None)
    job.run(texts)
