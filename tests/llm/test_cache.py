import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from alchemist_exp.core.errors import StoreError
from alchemist_exp.llm.base import Completion, Finish, Message, Request, Role, Usage
from alchemist_exp.llm.cache import ReplyCache

REQUEST = Request(
    provider="p",
    model="m",
    messages=(Message(role=Role.SYSTEM, text="s"), Message(role=Role.USER, text="ü\ud800")),
    parameters={"temperature": 0.7},
)
REPLY = Completion(text="antwört", model="m-1", finish=Finish.COMPLETE, usage=Usage(input_tokens=3, output_tokens=2))


class Server:
    def __init__(self, reply: Completion = REPLY) -> None:
        self.asked = 0
        self.reply = reply

    def ask(self, _: Request) -> Completion:
        self.asked += 1
        return self.reply


def test_a_reply_is_asked_for_once_and_is_readable(tmp_path: Path) -> None:
    cache, server = ReplyCache(tmp_path), Server()
    assert cache.complete(REQUEST, server.ask) == REPLY
    assert cache.complete(REQUEST, server.ask) == replace(REPLY, from_cache=True)
    assert server.asked == 1
    entry = json.loads(cache.path(REQUEST).read_text(encoding="utf-8"))
    assert entry["reply"] == "antwört"
    assert entry["usage"] == {"input_tokens": 3, "output_tokens": 2}
    assert entry["model"] == "m-1"


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, provider="q"),
        replace(REQUEST, model="n"),
        replace(REQUEST, messages=REQUEST.messages[:1]),
        replace(REQUEST, messages=REQUEST.messages[::-1]),
        replace(REQUEST, parameters={"temperature": 0.8}),
        replace(REQUEST, parameters={}),
        replace(REQUEST, sample=1),
    ],
)
def test_whatever_alters_the_reply_alters_the_key(other: Request) -> None:
    assert other.key != REQUEST.key


@pytest.mark.parametrize("finish", [Finish.TRUNCATED, Finish.REFUSED, Finish.EMPTY])
def test_incomplete_replies_are_never_kept(tmp_path: Path, finish: Finish) -> None:
    cache, server = ReplyCache(tmp_path), Server(replace(REPLY, finish=finish))
    for _ in range(2):
        assert cache.complete(REQUEST, server.ask).finish is finish
    assert server.asked == 2
    assert not cache.path(REQUEST).exists()


@pytest.mark.parametrize(
    "broken", ["", "{", "[]", '"x"', '{"request": 1}', '{"reply": 5}', "null"], ids=lambda text: text or "empty"
)
def test_a_broken_file_is_an_error_naming_it(tmp_path: Path, broken: str) -> None:
    cache = ReplyCache(tmp_path)
    cache.complete(REQUEST, Server().ask)
    cache.path(REQUEST).write_text(broken)
    with pytest.raises(StoreError, match=rf"{REQUEST.key}\.json .*delete it"):
        cache.complete(REQUEST, Server().ask)


def test_a_reply_that_was_altered_is_an_error(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path)
    cache.complete(REQUEST, Server().ask)
    path = cache.path(REQUEST)
    path.write_text(path.read_text(encoding="utf-8").replace("antwört", "antwörT"), encoding="utf-8")
    with pytest.raises(StoreError, match="is not what was written there; delete it"):
        cache.read(REQUEST)


def test_an_entry_for_another_request_is_an_error(tmp_path: Path) -> None:
    cache, other = ReplyCache(tmp_path), replace(REQUEST, sample=5)
    cache.complete(REQUEST, Server().ask)
    cache.path(other).parent.mkdir(parents=True, exist_ok=True)
    cache.path(REQUEST).rename(cache.path(other))
    with pytest.raises(StoreError, match="answers another request"):
        cache.read(other)


def test_side_by_side_the_same_question_is_asked_once(tmp_path: Path) -> None:
    cache, server = ReplyCache(tmp_path), Server()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: cache.complete(REQUEST, server.ask).text, range(16)))
    assert replies == [REPLY.text] * 16
    assert server.asked == 1
