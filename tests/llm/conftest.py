"""A scripted server, and providers whose SDKs connect to it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from alchemist_exp import config
from alchemist_exp.llm.providers.base import ProviderLLM
from alchemist_exp.llm.types import Request, Response
from tests.support import llm_server as s

KEY = "sk-planted-0123456789-secret"


_COMPOSED: dict[tuple[str, ...], ProviderLLM] = {}
"""The composed members; composing takes longer than a request."""


@pytest.fixture
def server() -> Iterator[object]:
    with s.Server() as running:
        yield running


@pytest.fixture
def scripted() -> ModuleType:
    """The module with the responses that a script can hold."""
    return s


@pytest.fixture
def provider(composed, server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ProviderLLM]:
    """Build the llm member of that name, with the server's address and the planted key."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_COMPATIBLE_API_KEY"):
        monkeypatch.setenv(name, KEY)

    def build(name: str, *overrides: str) -> ProviderLLM:
        if (name, *overrides) not in _COMPOSED:
            needed = ["llm.model=tiny", "llm.base_url=http://x"] if name == "openai_compatible" else []
            _COMPOSED[name, *overrides] = config.build(composed(f"llm={name}", *needed, *overrides)).llm
        return replace(_COMPOSED[name, *overrides], base_url=server.url + ("" if name == "anthropic" else "/v1"))

    return build


@pytest.fixture
def attempt() -> Callable[..., Response]:
    """Make one attempt at one request."""

    def once(llm: ProviderLLM, request: Request | None = None) -> Response:
        async def run() -> Response:
            async with llm.connect() as session:
                return await session.complete(request or llm.request("be brief", "say hello"))

        return asyncio.run(run())

    return once


@pytest.fixture
def key() -> str:
    return KEY
