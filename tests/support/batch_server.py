"""A loopback server with the batch APIs of OpenAI and Anthropic; a script says how each batch ends.

Each response repeats the text of its request.
"""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

USAGE = {"prompt_tokens": 30, "completion_tokens": 3, "total_tokens": 33}


@dataclass(kw_only=True)
class Script:
    """How a batch ends.

    Attributes:
        polls: The number of polls after which it has ended.
        status: OpenAI's status of the ended batch.
        outcomes: By a row's text: truncated, busy, wrong, credit, filtered, expired or unreached. Other rows are
            answered.
        lines: Lines that are added to the results.
        error: Why the batch failed as a whole.
        lost: Whether the connection is closed after the batch was accepted.
        reply: The text of each response, with {} for the row's text.
        hang: Whether the batch is accepted and no response is sent.

    """

    polls: int = 1
    status: str = "completed"
    outcomes: dict[str, str] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    error: str | None = None
    lost: bool = False
    reply: str = "reply to {}"
    hang: bool = False


@dataclass(kw_only=True)
class Batch:
    """A submitted batch; each row is a custom id and a body."""

    name: str
    rows: list[tuple[str, dict[str, Any]]]
    metadata: dict[str, str]
    script: Script
    n_polls: int = 0

    @property
    def ended(self) -> bool:
        return self.n_polls >= self.script.polls


class BatchServer:
    """What was submitted to the server, and the errors that it returns next.

    Attributes:
        files: The uploaded files and the results, by name.
        batches: The submitted batches.
        scripts: How the next batches end.
        refusals: The statuses of the next submissions.
        poll_errors: The statuses of the next polls.
        download_errors: The statuses of the next downloads of results.
        every_poll_error: The status of every poll, unless 0.
        polled: Set at the first poll.
        submitted: Set at the first submission.

    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: list[Batch] = []
        self.scripts: list[Script] = []
        self.refusals: list[int] = []
        self.poll_errors: list[int] = []
        self.download_errors: list[int] = []
        self.every_poll_error = 0
        self.polled = threading.Event()
        self.submitted = threading.Event()
        self.closing = threading.Event()
        self.lock = threading.RLock()
        self.url = ""

    @property
    def seen(self) -> list[str]:
        """The custom ids of all submitted rows, with repetitions."""
        return [key for batch in self.batches for key, _ in batch.rows]

    def accept(self, rows: list[tuple[str, dict[str, Any]]], metadata: dict[str, str]) -> Batch:
        with self.lock:
            script = self.scripts.pop(0) if self.scripts else Script()
            batch = Batch(name=f"batch_{len(self.batches)}", rows=rows, metadata=metadata, script=script)
            self.batches.append(batch)
            self.submitted.set()
            return batch

    def batch(self, name: str) -> Batch | None:
        return next((batch for batch in self.batches if batch.name == name), None)


@contextmanager
def serving() -> Iterator[BatchServer]:
    """Run a server on a free port of 127.0.0.1."""
    state = BatchServer()

    class Handler(_Handler):
        server_state = state

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_state: BatchServer
    protocol_version = "HTTP/1.1"
    # Headers and body are two packets; with Nagle's algorithm the second waits 40 ms for the delayed ACK of the first.
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        state = self.server_state
        raw = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/files":
            name = f"file_{len(state.files)}"
            state.files[name] = _uploaded(self.headers["content-type"], raw)
            return self._send({"id": name, "object": "file"})
        if state.refusals:
            return self._refuse(state.refusals.pop(0))
        body = json.loads(raw)
        if self.path == "/v1/batches":
            lines = [json.loads(line) for line in state.files[body["input_file_id"]].splitlines()]
            assert all(line["url"] == body["endpoint"] and line["method"] == "POST" for line in lines)
            return self._accepted([(line["custom_id"], line["body"]) for line in lines], body["metadata"])
        if self.path == "/v1/messages/batches":
            return self._accepted([(entry["custom_id"], entry["params"]) for entry in body["requests"]], {})
        return self._refuse(404)

    def do_GET(self) -> None:
        state, url = self.server_state, urlsplit(self.path)
        part = url.path.removeprefix("/v1/").split("/")
        if url.path == "/v1/batches":
            return self._send(_listed(state, parse_qs(url.query)))
        if state.download_errors and (part[0] == "files" or part[-1] == "results"):
            return self._refuse(state.download_errors.pop(0))
        if part[0] == "files" and part[1] in state.files:
            return self._send_raw(state.files[part[1]])
        batch = state.batch(part[2] if part[0] == "messages" else part[1])
        if part[-1] == "results" and batch is not None:
            return self._send_raw(_results(batch, _anthropic_line))
        state.polled.set()
        if state.every_poll_error or state.poll_errors:
            return self._refuse(state.every_poll_error or state.poll_errors.pop(0))
        if batch is None:
            return self._refuse(404)
        batch.n_polls += 1
        return self._send(_anthropic_state(state, batch) if part[0] == "messages" else _openai_state(state, batch))

    def _accepted(self, rows: list[tuple[str, dict[str, Any]]], metadata: dict[str, str]) -> None:
        batch = self.server_state.accept(rows, metadata)
        if batch.script.hang:
            self.server_state.closing.wait(60)
        if batch.script.lost or batch.script.hang:
            self.close_connection = True
            return
        self._send({"id": batch.name, "metadata": metadata, "status": "validating"})

    def _refuse(self, status: int) -> None:
        self._send({"error": {"type": "some_error", "message": f"said {status}"}}, status)

    def _send(self, body: dict[str, Any], status: int = 200) -> None:
        self._send_raw(json.dumps(body).encode(), status, "application/json")

    def _send_raw(self, raw: bytes, status: int = 200, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _uploaded(kind: str, raw: bytes) -> bytes:
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
    assert parts["purpose"].get_payload(decode=True) == b"batch"
    content = parts["file"].get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def _listed(state: BatchServer, query: dict[str, list[str]]) -> dict[str, Any]:
    """Return a page of two batches, newest first, whatever limit the client sends."""
    newest = [{"id": batch.name, "metadata": batch.metadata} for batch in reversed(state.batches)]
    names = [entry["id"] for entry in newest]
    begin = names.index(query["after"][0]) + 1 if "after" in query else 0
    return {"object": "list", "data": newest[begin : begin + 2], "has_more": begin + 2 < len(newest)}


def _openai_state(state: BatchServer, batch: Batch) -> dict[str, Any]:
    body: dict[str, Any] = {"id": batch.name, "metadata": batch.metadata, "object": "batch"}
    counts = {"total": len(batch.rows), "completed": min(batch.n_polls, len(batch.rows)), "failed": 0}
    if not batch.ended:
        return body | {"status": "validating" if batch.n_polls == 1 else "in_progress", "request_counts": counts}
    if batch.script.error is not None:
        return body | {"status": "failed", "errors": {"data": [{"message": batch.script.error}]}}
    for kind in ("output", "error"):
        raw = _results(batch, _openai_line, errors=kind == "error")
        if raw:
            state.files[f"{kind}_{batch.name}"] = raw
            body[f"{kind}_file_id"] = f"{kind}_{batch.name}"
    return body | {"status": batch.script.status, "request_counts": counts}


def _anthropic_state(state: BatchServer, batch: Batch) -> dict[str, Any]:
    body: dict[str, Any] = {"id": batch.name, "type": "message_batch", "results_url": None}
    if not batch.ended:
        return body | {"processing_status": "in_progress", "request_counts": {"processing": len(batch.rows)}}
    url = f"{state.url}/v1/messages/batches/{batch.name}/results"
    return body | {"processing_status": "ended", "results_url": url, "request_counts": {"succeeded": len(batch.rows)}}


def _results(batch: Batch, line_of: Any, *, errors: bool | None = None) -> bytes:
    """Return the result lines in shuffled order; OpenAI has one file of responses and one of errors."""
    lines = []
    for key, body in batch.rows:
        text = (body.get("messages") or body["input"])[-1]["content"]
        outcome = batch.script.outcomes.get(text, "reply")
        if errors is None or errors == (outcome in ("busy", "wrong", "credit", "filtered", "expired")):
            lines.append(line_of(key, body, batch.script.reply.format(text), outcome))
    lines = [line for line in lines if line is not None]
    random.Random(len(lines)).shuffle(lines)
    text = [json.dumps(line) for line in lines] + ([] if errors else list(batch.script.lines))
    return "\n".join(text).encode()


def _openai_line(key: str, body: dict[str, Any], text: str, outcome: str) -> dict[str, Any] | None:
    def line(status: int, content: dict[str, Any]) -> dict[str, Any]:
        return {"id": "x", "custom_id": key, "response": {"status_code": status, "body": content}, "error": None}

    finish = "length" if outcome == "truncated" else "stop"
    match outcome:
        case "busy":
            return line(500, {"error": {"message": "busy", "type": "server_error"}})
        case "wrong":
            return line(400, {"error": {"message": "wrong", "type": "invalid_request_error"}})
        case "credit":
            return line(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
        case "filtered":
            return line(400, {"error": {"message": "The response was filtered", "code": "content_filter"}})
        case "expired":
            return {"custom_id": key, "response": None, "error": {"code": "batch_expired", "message": "expired"}}
        case "unreached":
            return None
    if "input" in body:
        output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
        usage = {"input_tokens": 30, "output_tokens": 3}
        status = "incomplete" if outcome == "truncated" else "completed"
        return line(200, {"model": body["model"], "status": status, "output": output, "usage": usage})
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    return line(200, {"model": body["model"], "choices": [choice], "usage": USAGE})


def _anthropic_line(key: str, body: dict[str, Any], text: str, outcome: str) -> dict[str, Any] | None:
    def errored(kind: str, message: str = outcome) -> dict[str, Any]:
        error = {"type": "error", "error": {"type": kind, "message": message}}
        return {"custom_id": key, "result": {"type": "errored", "error": error}}

    match outcome:
        case "busy":
            return errored("overloaded_error")
        case "wrong":
            return errored("invalid_request_error")
        case "credit":
            return errored("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")
        case "filtered":
            return errored("invalid_request_error", "Output blocked by content filtering policy")
        case "expired":
            return {"custom_id": key, "result": {"type": "expired"}}
        case "unreached":
            return None
    message = {
        "model": body["model"],
        "content": [{"type": "text", "text": text}],
        "stop_reason": "max_tokens" if outcome == "truncated" else "end_turn",
        "usage": {"input_tokens": 30, "output_tokens": 3},
    }
    return {"custom_id": key, "result": {"type": "succeeded", "message": message}}
