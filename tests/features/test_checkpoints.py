"""Models of the Hugging Face hub: what the local cache knows, what is fetched, what is refused. The hub is ours."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.features.checkpoints import Checkpoint
from tests.features.conftest import Make

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
TEXTS = ["love this song", "subscribe!", ""]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's, and no way to it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def cached(cache: Path, model: Path, names: set[str] | None = None) -> Path:
    """Puts files of `model` into the cache as owner/tiny, whose branch main is COMMIT."""
    repository = cache / "models--owner--tiny"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for path in model.iterdir():
        if names is None or path.name in names:
            (snapshot / path.name).write_bytes(path.read_bytes())
    return snapshot


class Hub(ThreadingHTTPServer):
    """Serves the files of one folder as owner/tiny; `asked` holds the paths in the order they came."""

    def __init__(self, model: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.model = model
        self.asked: list[str] = []
        self.refusal: tuple[int, str] | None = None


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        files = {path.name: path.read_bytes() for path in self.server.model.iterdir()}
        name = self.path.partition("?")[0].rpartition("/")[2]
        if self.server.refusal:
            status, code = self.server.refusal
            self.answer(status, b"{}", {"X-Error-Code": code})
        elif "/api/models/owner/tiny/tree/" in self.path:
            listed = [{"type": "file", "path": n, "size": len(raw), "oid": f"{n}-oid"} for n, raw in files.items()]
            self.answer(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})
        elif "/api/models/owner/tiny" in self.path:
            listed = [{"rfilename": n} for n in files]
            found = {"id": "owner/tiny", "sha": COMMIT, "siblings": listed, "tags": [], "private": False}
            self.answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})
        else:
            self.answer(200, files[name], {"ETag": f'"{name}-etag"', "X-Repo-Commit": COMMIT})

    def answer(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(raw)


@pytest.fixture
def hub(bert: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(bert) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield server
        server.shutdown()


def test_a_branch_is_the_commit_that_the_cache_knows_by_that_name(cache: Path, bert: Path, make: Make) -> None:
    snapshot = cached(cache, bert)
    named, pinned = (Checkpoint(model="owner/tiny", revision=revision) for revision in ("main", COMMIT))
    assert named.local_path() == pinned.local_path() == named.download() == snapshot
    assert named.identity() == pinned.identity() == {"model": "owner/tiny", "commit": COMMIT}
    keys = [make(model="owner/tiny", revision=revision).cache_key() for revision in ("main", COMMIT, OTHER)]
    assert keys[0] == keys[1] != keys[2]


def test_a_cached_model_needs_no_network_and_is_loaded_by_its_commit(
    cache: Path, bert: Path, make: Make, tmp_path: Path
) -> None:
    cached(cache, bert)
    component = make(model="owner/tiny", revision="main")
    component.check()
    features = component.fit([]).transform(TEXTS)
    assert np.array_equal(features, make().fit([]).transform(TEXTS))
    component.save(tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "encoder.json").read_text())
    assert stored["weights"] == {"model": "owner/tiny", "commit": COMMIT}
    # The branch has moved on since; the run's weights have not.
    (cache / "models--owner--tiny" / "refs" / "main").write_text(OTHER)
    again = make(model="owner/tiny", revision="main").load(tmp_path / "run")
    assert np.array_equal(again.transform(TEXTS), features)


@pytest.mark.parametrize("names", [set(), {"config.json"}], ids=["nothing cached", "half cached"])
def test_offline_what_is_not_cached_is_refused_before_anything_is_spent(
    cache: Path, bert: Path, make: Make, names: set[str]
) -> None:
    if names:
        cached(cache, bert, names)
    component = make(model="owner/tiny", revision="main")
    for use in (component.check, lambda: component.fit([])):
        with pytest.raises(ConfigError, match=r"owner/tiny \(revision main\) is not in the local cache and HF_HUB_OFF"):
            use()


def test_a_name_that_the_hub_does_not_allow_is_one_sentence(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"feature_extractor\.model='a--b' is not a valid name"):
        make(model="a--b").check()


def test_only_what_is_missing_is_downloaded_and_not_before_it_is_needed(cache: Path, make: Make, hub: Hub) -> None:
    component = make(model="owner/tiny", revision="main")
    component.check()
    assert hub.asked == []
    component.cache_key()
    assert not any("safetensors" in path for path in hub.asked)
    features = component.fit([]).transform(TEXTS)
    assert np.array_equal(features, make().fit([]).transform(TEXTS))
    assert any("model.safetensors" in path for path in hub.asked)
    hub.asked.clear()
    make(model="owner/tiny", revision="main").fit([])
    assert hub.asked == []


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "GatedRepo", r"\(.*gated repo.*\); .* accept the terms of a gated model and set HF_TOKEN"),
        (404, "RepoNotFound", r"\(.*Repository Not Found.*\); check .* feature_extractor\.model and revision"),
        (404, "RevisionNotFound", r"\(.*Revision Not Found.*\); check .* feature_extractor\.model and revision"),
        (400, "", r"\(.*Bad request.*\); check the network"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(hub: Hub, status: int, code: str, message: str) -> None:
    hub.refusal = (status, code)
    with pytest.raises(ConfigError, match=rf"owner/tiny \(revision main\) could not be downloaded .*{message}"):
        Checkpoint(model="owner/tiny", revision="main").download()


def test_pickled_weights_are_not_read(hub: Hub, tmp_path: Path) -> None:
    hub.model = tmp_path / "pickled"
    hub.model.mkdir()
    (hub.model / "config.json").write_text("{}")
    (hub.model / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ConfigError, match="has no safetensors, and pickled weights are not read"):
        Checkpoint(model="owner/tiny", revision="main").download()
    assert not any("pytorch_model.bin" in path and "/resolve/" in path for path in hub.asked)
