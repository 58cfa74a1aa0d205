"""A scripted server, and the providers' clients that ask it."""

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from alchemist_exp import config
from alchemist_exp.llm.providers.base import ProviderLLM
from alchemist_exp.llm.types import Request, Response

KEY = "sk-planted-0123456789-secret"


def _server_module() -> ModuleType:
    """tests/llm/server.py: the tests are no package, so it is loaded by its path."""
    name = "scripted_llm_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("server.py"))
        assert spec
        assert spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


s = _server_module()
_COMPOSED: dict[tuple[str, ...], ProviderLLM] = {}
"""Composing takes longer than asking."""


@pytest.fixture
def server() -> Iterator[object]:
    with s.Server() as running:
        yield running


@pytest.fixture
def scripted() -> ModuleType:
    """The module with the answers a script can hold."""
    return s


@pytest.fixture
def provider(composed, server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ProviderLLM]:
    """The llm member of that name, asking the server, with the planted key."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_COMPATIBLE_API_KEY"):
        monkeypatch.setenv(name, KEY)

    def build(name: str, *overrides: str) -> ProviderLLM:
        if (name, *overrides) not in _COMPOSED:
            needed = ["llm.model=tiny", "llm.base_url=http://x"] if name == "openai_compatible" else []
            _COMPOSED[name, *overrides] = config.build(composed(f"llm={name}", *needed, *overrides)).llm
        return replace(_COMPOSED[name, *overrides], base_url=server.url + ("" if name == "anthropic" else "/v1"))

    return build


@pytest.fixture
def ask() -> Callable[..., Response]:
    """One attempt at one request."""

    def once(llm: ProviderLLM, request: Request | None = None) -> Response:
        async def attempt() -> Response:
            async with llm.connect() as client:
                return await client.complete(request or llm.request("be brief", "say hello"))

        return asyncio.run(attempt())

    return once


@pytest.fixture
def key() -> str:
    return KEY
