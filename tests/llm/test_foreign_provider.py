"""A provider of one Python file and one YAML file, which reads a loopback server with the standard library."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.llm import concurrent_calls, rate_limits
from alchemist_exp.llm.budget import BudgetError
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.dialogue import RequestBatch
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import LLMCall, Usage

pytestmark = pytest.mark.usefixtures("shared_stages")

MODULE = '''
"""A provider that POSTs each prompt to a server of its own."""

import asyncio
import json
from dataclasses import dataclass
from urllib.request import Request as HTTPRequest, urlopen

from alchemist_exp.core.component import component
from alchemist_exp.llm.providers.base import ProviderLLM
from alchemist_exp.llm.providers.parsing import as_mapping, as_text, finish_reason_of, parse_json, usage_of
from alchemist_exp.llm.types import Response


@component("llm", "acme")
@dataclass(kw_only=True)
class AcmeLLM(ProviderLLM):
    """A server that answers POST /generate with the generated text."""

    async def send(self, session, request):
        body = {"model": request.model, "prompt": request.messages[-1].text, **request.parameters}
        http_request = HTTPRequest(
            f"{self.base_url}/generate",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {session.api_key}"},
        )

        def post():
            with urlopen(http_request, timeout=self.timeout_s) as http_response:
                return http_response.read()

        fields = as_mapping(parse_json(await asyncio.to_thread(post)))
        text = as_text(fields.get("text"))
        return Response(
            text=text,
            model=as_text(fields.get("model")) or request.model,
            finish_reason=finish_reason_of(text, truncated=fields.get("end") == "limit", refused=False),
            usage=usage_of(input_tokens=fields.get("tokens_in"), output_tokens=fields.get("tokens_out")),
        )
'''

YAML = """# A server of Acme.
defaults:
  - _acme
  - _provider
  - _self_

name: acme
model: acme-1
spec: ${model_spec:acme,${.model}}
api_key_env: ACME_API_KEY
base_url: http://127.0.0.1:8000
"""

KEY = "sk-planted-0123456789-secret"
PRICE = "llm.price={input_usd_per_million:1000,output_usd_per_million:1000,as_of:today}"

Answer = tuple[int, dict[str, Any], dict[str, str]]
"""Status, body and headers."""


def good(text: str = "hello", **fields: Any) -> Answer:
    return 200, {"text": text, "model": "acme-1b", "tokens_in": 100, "tokens_out": 20} | fields, {}


def failing(status: int, message: str, **headers: str) -> Answer:
    return status, {"error": {"message": message}}, headers


class AcmeServer(ThreadingHTTPServer):
    """Gives the answers of a script in turn; the last one repeats."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AcmeHandler)
        self.script: list[Answer] = [good()]
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class AcmeHandler(BaseHTTPRequestHandler):
    server: AcmeServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.server.authorizations.append(self.headers["Authorization"])
        position = min(len(self.server.bodies), len(self.server.script)) - 1
        status, answer, headers = self.server.script[position]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for --config-dir with llm/acme.py and llm/acme.yaml."""
    directory = tmp_path_factory.mktemp("own")
    (directory / "llm").mkdir()
    (directory / "llm" / "acme.py").write_text(MODULE)
    (directory / "llm" / "acme.yaml").write_text(YAML)
    yield directory
    config.register()


@pytest.fixture
def server() -> Iterator[AcmeServer]:
    with AcmeServer() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


Complete = Callable[..., list[LLMCall]]


@pytest.fixture
def build(directory: Path, server: AcmeServer, monkeypatch: pytest.MonkeyPatch):
    """The llm member of some overrides."""
    monkeypatch.setenv("ACME_API_KEY", KEY)

    def build(*overrides: str):
        return config.build(config.compose(["llm=acme", f"llm.base_url={server.url}", *overrides], directory)).llm

    return build


@pytest.fixture
def complete(build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """Complete some prompts through the LLM client."""
    monkeypatch.setattr(concurrent_calls, "_FIRST_BACK_OFF_S", 0.0)

    def complete(prompts: list[str], *overrides: str, cap_usd: float | None = None) -> list[LLMCall]:
        llm = build(*overrides)
        llm.check()
        client = LLMClient(llm, ResponseCache(tmp_path / "replies"), tmp_path, cap_usd)
        requests = [llm.request("be brief", prompt) for prompt in prompts]
        return client.complete(RequestBatch(description="testing", requests=requests, response_tokens=10))

    return complete


def test_a_response_is_read_metered_and_cached(complete: Complete, server: AcmeServer) -> None:
    (call,) = complete(["say hello"])
    assert (call.response.text, call.response.model) == ("hello", "acme-1b")
    assert call.response.usage == Usage(input_tokens=100, output_tokens=20)
    assert server.bodies[0]["prompt"] == "say hello"
    assert server.authorizations == [f"Bearer {KEY}"]
    assert complete(["say hello"])[0].response.from_cache
    assert len(server.bodies) == 1


def test_a_failed_attempt_is_repeated_and_the_wait_applied(complete: Complete, server: AcmeServer) -> None:
    server.script = [failing(503, "busy"), failing(429, "slow down", **{"Retry-After": "0.01"}), good()]
    assert complete(["say hello"])[0].response.text == "hello"
    assert len(server.bodies) == 3


def test_a_truncated_response_is_requested_again(complete: Complete, server: AcmeServer) -> None:
    server.script = [good("hel", end="limit"), good()]
    (call,) = complete(["say hello"])
    assert (call.response.text, [r.text for r in call.incomplete_responses]) == ("hello", ["hel"])


def test_a_refused_key_is_one_sentence_without_the_key(complete: Complete, server: AcmeServer) -> None:
    server.script = [failing(401, f"no such key: {KEY}")]
    with pytest.raises(
        LLMError, match=r"the key in ACME_API_KEY was refused for acme-1: no such key: \[key\] \("
    ) as caught:
        complete(["say hello"])
    assert KEY not in str(caught.value)
    assert len(server.bodies) == 1


def test_a_server_that_cannot_be_reached_is_one_sentence(complete: Complete) -> None:
    with pytest.raises(LLMError, match=r"no response in 2 attempts \(.*the connection failed \(.*refused"):
        complete(["say hello"], "llm.base_url=http://127.0.0.1:9", "llm.max_attempts=2")


def test_the_budget_applies(complete: Complete, server: AcmeServer) -> None:
    prompts = [f"prompt {number}" for number in range(20)]
    with pytest.raises(BudgetError, match=r"the budget of \$1\.00 is used up"):
        complete(prompts, PRICE, "llm.max_output_tokens=20", "llm.max_in_flight=1", cap_usd=1.0)
    assert 1 <= len(server.bodies) < 20


def test_the_rate_limit_applies(complete: Complete, server: AcmeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "_BURST_S", 0.0)
    begin = time.monotonic()
    complete([f"prompt {number}" for number in range(5)], "llm.requests_per_minute=600")
    assert time.monotonic() - begin >= 0.3


def test_a_model_without_a_specification_has_no_price_and_one_of_the_yaml_applies(build) -> None:
    llm = build()
    assert (llm.price, llm.encoding, llm.spec.api) == (None, None, None)
    assert llm.request("", "hello").parameters["temperature"] == 0.7
    assert build(PRICE).price.input_usd_per_million == 1000


def test_a_specification_next_to_the_yaml_is_found(build, directory: Path) -> None:
    specification = directory / "llm" / "models" / "acme" / "acme-2.yaml"
    specification.parent.mkdir(parents=True)
    unknown = Path(config.config_dir(), "llm", "models", "_unknown.yaml").read_text()
    specification.write_text(unknown.replace("temperature: true", "temperature: false"))
    assert "temperature" not in build("llm.model=acme-2").request("", "hello").parameters
    assert "temperature" in build("llm.model=acme-3").request("", "hello").parameters


def test_batches_need_batch_code(build) -> None:
    with pytest.raises(
        ConfigError, match=r"llm\.batch is true, but llm=acme has no code for batches; use llm\.batch=false"
    ):
        build("llm.batch=true")
