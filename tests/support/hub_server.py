"""A small server that stands in for the Hugging Face Hub. The real one is not asked."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Repositories = Mapping[str, tuple[str, Mapping[str, bytes]]]
"""By name, the commit that the branch main is at, and the files; a repository whose name ends in "gated" has none."""


class FakeHub(BaseHTTPRequestHandler):
    """What the Hub answers for files outside LFS, a repository's commit, and a directory's list of files."""

    repositories: Repositories

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.answer(body=False)

    def do_GET(self) -> None:
        """Answer with a body."""
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        """Send a file or a description.

        Args:
            body: Whether the content is sent.

        """
        api = "/api/" in self.path
        parts = self.path.partition("?")[0].removeprefix("/api").removeprefix("/datasets/").split("/", 4)
        name = "/".join(parts[:2])
        commit, files = self.repositories.get(name, ("", {}))
        raw = self.found(api, commit, files, *parts[2:])
        gated = name.endswith("gated") and not api
        status = 403 if gated else 404 if raw is None else 200
        first, last = 0, len(raw or b"") - 1
        if raw and (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            status, first, last = 206, int(asked[1]), min(int(asked[2] or last), last)
        content = b"" if gated or raw is None else raw[first : last + 1]
        self.send_response(status)
        if status >= 400:
            missing = "RepoNotFound" if not files else "RevisionNotFound" if parts[3:4] != [commit] else "EntryNotFound"
            self.send_header("X-Error-Code", "GatedRepo" if gated else missing)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(raw or b'')}")
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(raw or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def found(
        self, api: bool, commit: str, files: Mapping[str, bytes], kind: str = "", revision: str = "", path: str = ""
    ) -> bytes | None:
        """Return what is at an address.

        Args:
            api: Whether a description is asked for, not a file.
            commit: The commit of the repository.
            files: The files of the repository.
            kind: The kind of address.
            revision: The commit or branch that is asked for.
            path: The path in the repository.

        Returns:
            A file or JSON; None for an unknown address.

        """
        if not files or revision not in (commit, "main"):
            return None
        if not api:
            return files.get(path) if kind == "resolve" else None
        if kind == "revision":
            return json.dumps(
                {"id": "any", "sha": commit, "siblings": [{"rfilename": file} for file in files]}
            ).encode()
        if kind != "tree":
            return None
        inside = [file.removeprefix(f"{path}/") for file in files if not path or file.startswith(f"{path}/")]
        names = {name.partition("/")[0]: "directory" if "/" in name else "file" for name in inside}
        below = [(f"{path}/{name}" if path else name, type_) for name, type_ in names.items()]
        entries = [{"path": p, "type": t, "size": len(files.get(p, b"")), "oid": commit} for p, t in below]
        return json.dumps(entries).encode()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serve(repositories: Repositories) -> Iterator[str]:
    """Serve repositories.

    Args:
        repositories: Their commits and files.

    Yields:
        The address, for HF_ENDPOINT.

    """
    handler = type("Hub", (FakeHub,), {"repositories": repositories})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
