"""The examples of docs/extending.md run as they are written."""

import json
import re
import shlex
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import alchemist_exp
from alchemist_exp import config, registry
from alchemist_exp.pipeline.artifacts import MODEL
from alchemist_exp.results.record import RunStatus
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("shared_stages")

PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```(?:python|yaml) title="([\w/.]+)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^```bash\nalchemist run --config-dir my (.*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = (
    "def label_function(text): return 1 if 'http' in text else 0",
    "def label_function(text): return 1 if 'subscribe' in text.lower() else -1",
    "def label_function(text): return 0 if len(text) < 60 else 1",
)
FAST = {
    "seed": "seed=s0",
    "logger": "logger=none",
    "dataset": "dataset=youtube",
    "end_model": "end_model.max_epochs=1",
}


class OllamaHandler(BaseHTTPRequestHandler):
    """Answers POST /api/chat with a program."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/api/chat"
        assert body["stream"] is False
        self.server.systems.append(body["messages"][0]["content"])
        program = PROGRAMS[len(self.server.systems) % len(PROGRAMS)]
        answer = {
            "model": body["model"],
            "message": {"role": "assistant", "content": f"```python\n{program}\n```"},
            "done_reason": "stop",
            "prompt_eval_count": 50,
            "eval_count": 20,
        }
        raw = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None: ...


class OllamaServer(ThreadingHTTPServer):
    """Listens on a free port; `systems` are the system messages that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), OllamaHandler)
        self.systems: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def server() -> Iterator[OllamaServer]:
    with OllamaServer() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with everything that the page's commands use."""
    root = tmp_path_factory.mktemp("extending")
    for name, text in FILES.items():
        path = root / "my" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "programs").mkdir()
    for number, program in enumerate(PROGRAMS):
        (root / "programs" / f"{number}.py").write_text(program)
    database = sqlite3.connect(root / "messages.db")
    for split in ("train", "valid", "test"):
        database.execute(f"CREATE TABLE {split} (text TEXT, label INTEGER)")
        texts = ("Please subscribe: http://{}.example", "see you", f"{'long story ' * 9}{{}}", "subscribe {}")
        rows = [(texts[row % 4].format(row), int(row % 4 in (0, 3))) for row in range(30)]
        database.executemany(f"INSERT INTO {split} VALUES (?, ?)", rows)
    database.commit()
    database.close()
    yield root
    config.register()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command: str, place: Path, server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    given = shlex.split(command)
    groups = {override.lstrip("+").partition("=")[0] for override in given}
    fast = [override for group, override in FAST.items() if group not in groups and "experiment" not in groups]
    url = [f"llm.base_url={server.url}"] if "llm" in groups else []
    result = alchemist_exp.run([*given, *fast, *url, "dataset.limit=30"], config_dir="my")
    assert result.record.status is RunStatus.FINISHED
    for group in (override.removesuffix("=mine") for override in given if override.endswith("=mine")):
        if group not in ("sandbox", "+experiment"):
            assert result.record.config[group]["name"] == "mine"
    if "logger" in groups:
        assert json.loads((result.directory / "log.jsonl").read_text().splitlines()[0])
    if "prompt" in groups:
        assert server.systems[-1].startswith("You are a careful data analyst.")
    if groups & {"feature_extractor", "end_model"} and "concepts" not in groups:
        experiment = config.build(config.compose(result.record.overrides, "my"))
        features = experiment.feature_extractor.load(result.directory / MODEL).transform(["a new text", ""])
        assert experiment.end_model.load(result.directory / MODEL).predict_proba(features).shape == (1, 2, 2)
    if "experiment" in groups:
        assert result.record.end_model["seeds"] == [10, 11, 12]


def test_more_rounds_are_planned(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert "alchemist plan --config-dir my refine=mine" in PAGE
    assert config.build(config.compose(["refine=mine"], "my")).refine.rounds == 4


def test_every_group_has_an_example() -> None:
    assert {name.partition("/")[0] for name in FILES if "/" in name} == {*config.groups()} - {"gold", "debug"}
    named = set(re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE)) - {"Group", "---"}
    assert {group for cell in named for group in re.findall(r"\w+", cell)} == registry.base_classes().keys()


def test_the_base_classes_and_methods_of_the_table_are_right() -> None:
    for group, base, methods in re.findall(
        r"^\| `(\w+)` \| `(alchemist_exp\.[\w.]+)` \| (`.*?) \|", PAGE, re.MULTILINE
    ):
        module, _, name = base.rpartition(".")
        cls = getattr(__import__(module, fromlist=[name]), name)
        assert issubclass(cls, registry.base_classes()[group])
        assert set(re.findall(r"`(\w+)`", methods)) == cls.__abstractmethods__


def test_a_file_without_a_class_is_a_dataset(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert alchemist_exp.load_component("dataset=reviews", config_dir="my").subject == "review"
