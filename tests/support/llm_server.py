"""A loopback server that speaks both vendors' APIs and misbehaves as its script says."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What a reply says it cost; None is left out."""

    total: int = 100
    output: int = 20
    cached: int | None = None
    written: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one request is answered. model: None echoes the one that is asked. end: stop, length or refusal.

    error: the body in place of a reply. raw: its bytes. cut: how many bytes of the body are sent before the connection
    is dropped. delay_s: the wait before it; drip_s: the wait after each byte.
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


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came; names of headers in small letters."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


Script = Callable[[Asked], Answer] | Sequence[Answer]

HANG = Answer(delay_s=60)
DRIP = Answer(drip_s=0.05)
DROPPED = Answer(cut=20)
TRUNCATED_JSON = Answer(raw=b'{"id": "x", "choices": [{"mess')
NOT_JSON = Answer(raw=b"<html>bad gateway</html>", headers={"Content-Type": "text/html"})


def failing(status: int, message: str, *, code: str | None = None, **headers: str) -> Answer:
    """An error in the form that both vendors use. Underscores in names of headers become hyphens."""
    error = {"message": message, "type": code or "error", "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, error={"type": "error", "error": error}, headers=named)


class Server:
    """Listens on a free port of 127.0.0.1 while its context is open. A script's last answer repeats."""

    def __init__(self, script: Script = (Answer(),)) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.most_in_flight = 0
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
        """The body of the last request."""
        return self.asked[-1].body

    def wait(self, seconds: float) -> None:
        """Waits, unless the server closes."""
        self._closing.wait(seconds)

    def answer(self, asked: Asked) -> Answer:
        """The next answer of the script."""
        with self._lock:
            self.asked.append(asked)
            number = len(self.asked) - 1
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        return self.script(asked) if callable(self.script) else self.script[min(number, len(self.script) - 1)]

    def done(self) -> None:
        """One request is answered."""
        with self._lock:
            self._in_flight -= 1


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    server: Server

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        script = self.server.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(path=self.path, headers={name.lower(): value for name, value in self.headers.items()}, body=body)
        answer = script.answer(asked)
        try:
            script.wait(answer.delay_s)
            self._send(script, answer, _body(asked, answer))
        finally:
            script.done()

    def _send(self, script: Server, answer: Answer, body: bytes) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if answer.drip_s:
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()
                script.wait(answer.drip_s)
        else:
            self.wfile.write(body[: answer.cut])
        self.close_connection = answer.cut is not None


def _body(asked: Asked, answer: Answer) -> bytes:
    if answer.raw is not None:
        return answer.raw
    replies = {"/v1/chat/completions": _chat, "/v1/responses": _responses, "/v1/messages": _message}
    model = asked.body.get("model") if answer.model is None else answer.model
    body = answer.error if answer.error is not None else {"model": model, **replies[asked.path](answer)}
    return json.dumps(body).encode()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _chat(answer: Answer) -> dict[str, Any]:
    refused = answer.end == "refusal"
    message = {"role": "assistant", "content": None if refused else answer.text}
    reply: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop" if refused else answer.end,
                "message": message | ({"refusal": answer.text} if refused else {}),
            }
        ],
    }
    if tokens := answer.tokens:
        reply["usage"] = {
            "prompt_tokens": tokens.total,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.total + tokens.output,
            "prompt_tokens_details": _given(cached_tokens=tokens.cached, cache_write_tokens=tokens.written),
            "completion_tokens_details": _given(reasoning_tokens=tokens.reasoning),
        }
    return reply


def _responses(answer: Answer) -> dict[str, Any]:
    refused, cut = answer.end == "refusal", answer.end == "length"
    part = {"type": "refusal", "refusal": answer.text} if refused else {"type": "output_text", "text": answer.text}
    reply: dict[str, Any] = {
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
    if tokens := answer.tokens:
        reply["usage"] = {
            "input_tokens": tokens.total,
            "output_tokens": tokens.output,
            "total_tokens": tokens.total + tokens.output,
            "input_tokens_details": _given(cached_tokens=tokens.cached, cache_write_tokens=tokens.written),
            "output_tokens_details": _given(reasoning_tokens=tokens.reasoning),
        }
    return reply


def _message(answer: Answer) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "stop_reason": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}[answer.end],
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": answer.text}],
    }
    if tokens := answer.tokens:
        reply["usage"] = {
            "input_tokens": tokens.total - (tokens.cached or 0) - (tokens.written or 0),
            "output_tokens": tokens.output,
            **_given(cache_read_input_tokens=tokens.cached, cache_creation_input_tokens=tokens.written),
        }
        if tokens.reasoning is not None:
            reply["usage"]["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return reply
