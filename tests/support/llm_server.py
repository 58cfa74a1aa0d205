"""A loopback server with the APIs of OpenAI and Anthropic; a script says what it returns and how it misbehaves."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The token counts in a response; those that are None are left out."""

    total: int = 100
    output: int = 20
    cached: int | None = None
    written: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, kw_only=True)
class ScriptedResponse:
    """What the server returns for one request.

    Attributes:
        text: The generated text.
        end: Why it ended: stop, length or refusal.
        model: The model's name; None repeats the one of the request.
        tokens: The token counts, or None to leave them out.
        status: The HTTP status.
        error: The body instead of a regular one.
        raw: The bytes of the body instead of JSON.
        headers: More headers.
        cut: The number of bytes after which the connection is closed.
        delay_s: The seconds before the response.
        drip_s: The seconds after each byte.
        endless: Whether the body is followed by more bytes until the client closes the connection.

    """

    text: str = "hello"
    end: str = "stop"
    model: object = None
    tokens: Tokens | None = field(default_factory=Tokens)
    status: int = 200
    error: Mapping[str, Any] | None = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay_s: float = 0.0
    drip_s: float = 0.0
    endless: bool = False


@dataclass(frozen=True, kw_only=True)
class ReceivedRequest:
    """One received request; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


Script = Callable[[ReceivedRequest], ScriptedResponse] | Sequence[ScriptedResponse]

HANG = ScriptedResponse(delay_s=60)
DRIP = ScriptedResponse(drip_s=0.05)
DROPPED = ScriptedResponse(cut=20)
TRUNCATED_JSON = ScriptedResponse(raw=b'{"id": "x", "choices": [{"mess')
NOT_JSON = ScriptedResponse(raw=b"<html>bad gateway</html>", headers={"Content-Type": "text/html"})


def failing(status: int, message: str, *, code: str | None = None, **headers: str) -> ScriptedResponse:
    """Return an error in the form that both providers use; underscores in header names become hyphens."""
    error = {"message": message, "type": code or "error", "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ScriptedResponse(status=status, error={"type": "error", "error": error}, headers=named)


class Server:
    """A server on a free port of 127.0.0.1 while its context is open. The last response of a script repeats."""

    def __init__(self, script: Script = (ScriptedResponse(),)) -> None:
        self.script = script
        self.requests: list[ReceivedRequest] = []
        self.max_in_flight_seen = 0
        self.n_bytes_sent = 0  # of endless responses
        self._in_flight = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.server = self
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def last(self) -> Mapping[str, Any]:
        """The body of the last request that was received."""
        return self.requests[-1].body

    @property
    def closing(self) -> bool:
        """Whether the context has ended."""
        return self._closing.is_set()

    def wait(self, seconds: float) -> None:
        """Wait some seconds, or until the server closes."""
        self._closing.wait(seconds)

    def next_response(self, request: ReceivedRequest) -> ScriptedResponse:
        """Return the next response of the script."""
        with self._lock:
            self.requests.append(request)
            number = len(self.requests) - 1
            self._in_flight += 1
            self.max_in_flight_seen = max(self.max_in_flight_seen, self._in_flight)
        return self.script(request) if callable(self.script) else self.script[min(number, len(self.script) - 1)]

    def done(self) -> None:
        """Note that one request has its response."""
        with self._lock:
            self._in_flight -= 1


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    server: Server

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing about a client that closed the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two packets; with Nagle's algorithm the second waits 40 ms for the delayed ACK of the first.
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        script = self.server.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = ReceivedRequest(
            path=self.path, headers={name.lower(): value for name, value in self.headers.items()}, body=body
        )
        response = script.next_response(request)
        try:
            script.wait(response.delay_s)
            self._send(script, response, _body(request, response))
        finally:
            script.done()

    def _send(self, script: Server, response: ScriptedResponse, body: bytes) -> None:
        self.send_response(response.status)
        for name, value in {"Content-Type": "application/json", **response.headers}.items():
            self.send_header(name, value)
        if not response.endless:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if response.endless:
            self._send_forever(script)
        elif response.drip_s:
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()
                script.wait(response.drip_s)
        else:
            self.wfile.write(body[: response.cut])
        self.close_connection = response.cut is not None or response.endless

    def _send_forever(self, script: Server) -> None:
        with suppress(OSError):
            while not script.closing:
                self.wfile.write(b"a" * 65536)
                script.n_bytes_sent += 65536


def _body(request: ReceivedRequest, response: ScriptedResponse) -> bytes:
    if response.raw is not None:
        return response.raw
    by_path = {"/v1/chat/completions": _chat, "/v1/responses": _responses, "/v1/messages": _message}
    model = request.body.get("model") if response.model is None else response.model
    body = response.error if response.error is not None else {"model": model, **by_path[request.path](response)}
    return json.dumps(body).encode()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _chat(response: ScriptedResponse) -> dict[str, Any]:
    refused = response.end == "refusal"
    message = {"role": "assistant", "content": None if refused else response.text}
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop" if refused else response.end,
                "message": message | ({"refusal": response.text} if refused else {}),
            }
        ],
    }
    if tokens := response.tokens:
        body["usage"] = {
            "prompt_tokens": tokens.total,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.total + tokens.output,
            "prompt_tokens_details": _given(cached_tokens=tokens.cached, cache_write_tokens=tokens.written),
            "completion_tokens_details": _given(reasoning_tokens=tokens.reasoning),
        }
    return body


def _responses(response: ScriptedResponse) -> dict[str, Any]:
    refused, cut = response.end == "refusal", response.end == "length"
    part = {"type": "refusal", "refusal": response.text} if refused else {"type": "output_text", "text": response.text}
    body: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]},
        ],
    }
    if tokens := response.tokens:
        body["usage"] = {
            "input_tokens": tokens.total,
            "output_tokens": tokens.output,
            "total_tokens": tokens.total + tokens.output,
            "input_tokens_details": _given(cached_tokens=tokens.cached, cache_write_tokens=tokens.written),
            "output_tokens_details": _given(reasoning_tokens=tokens.reasoning),
        }
    return body


def _message(response: ScriptedResponse) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "stop_reason": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}[response.end],
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": response.text}],
    }
    if tokens := response.tokens:
        body["usage"] = {
            "input_tokens": tokens.total - (tokens.cached or 0) - (tokens.written or 0),
            "output_tokens": tokens.output,
            **_given(cache_read_input_tokens=tokens.cached, cache_creation_input_tokens=tokens.written),
        }
        if tokens.reasoning is not None:
            body["usage"]["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return body
