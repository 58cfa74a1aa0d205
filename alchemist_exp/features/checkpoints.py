"""The files of a pretrained encoder, in a directory or on the Hugging Face Hub, and an identity for cache keys.

Only safetensors are downloaded and read, never a pickle.
"""

import functools
import hashlib
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import sanitize

_log = logging.getLogger(__name__)

_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
"""The files that contain a model's configuration, tokenizer and weights."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The files of one pretrained encoder: config.json, a tokenizer and *.safetensors.

    Attributes:
        directory: The directory of the files; None for a model of the Hugging Face Hub.
        model: The model's repository on the Hub, owner/name.
        revision: A commit, branch or tag on the Hub. A branch or tag is the commit that the local cache has under that
            name; the Hub is asked only if the cache has none.

    Example:
        >>> Checkpoint(model="google-bert/bert-base-cased", revision="c" * 40).identity()["model"]
        'google-bert/bert-base-cased'

    """

    directory: Path | None = None
    model: str = ""
    revision: str = "main"

    def __str__(self) -> str:
        """Return how messages name the files."""
        return str(self.directory or f"the model {self.model} (revision {self.revision})")

    def local_path(self) -> Path | None:
        """Return the directory of the files on this machine, without a download.

        Returns:
            The directory, or None if the files are on the Hub and the local cache does not have all of them.

        Raises:
            ConfigError: The files are not available and a download is not possible.

        """
        path = self.directory or self._cached_snapshot()
        if path and _is_complete(path):
            return path
        if self.directory:
            problem = "needs config.json and *.safetensors" if self.directory.is_dir() else "does not exist"
            raise ConfigError(
                f"the model directory {self.directory} {problem}; set feature_extractor.model to a directory that "
                "save_pretrained wrote."
            )
        from huggingface_hub import is_offline_mode

        if is_offline_mode():
            raise ConfigError(
                f"{self} is not in the local cache and HF_HUB_OFFLINE is set; run once without HF_HUB_OFFLINE, set "
                "feature_extractor.model to a directory, or use feature_extractor=minilm."
            )
        return None

    def download(self) -> Path:
        """Return the directory of the files, after the download of those that are not on this machine.

        Raises:
            ConfigError: The files are not available, or the weights are not safetensors.

        """
        if path := self.local_path():
            return path
        _log.warning("downloading the model %s from the Hugging Face Hub", self.model)
        path = self._download(_FILES)
        if not _is_complete(path):
            raise ConfigError(
                f"{self} has no safetensors, and pickled weights are not read; set another feature_extractor.model or "
                "revision."
            )
        return path

    def identity(self) -> dict[str, str]:
        """Return what identifies the files in cache keys, independent of where they are.

        Returns:
            The sha256 of the names and contents of a directory's files; the name and commit of a model on the Hub,
            whose config.json may be downloaded for it.

        Raises:
            ConfigError: The files are not available and a download is not possible.

        """
        if self.directory is None and _COMMIT.fullmatch(self.revision):
            return {"model": self.model, "commit": self.revision}
        path = self.local_path()
        if self.directory is None:
            snapshot = path or self._cached_snapshot() or self._download(["config.json"])
            return {"model": self.model, "commit": snapshot.name}
        digest = hashlib.sha256()
        for file in sorted(file for pattern in _FILES for file in self.directory.glob(pattern)):
            digest.update(f"{file.name}\n{file_sha256(file)}\n".encode())
        return {"sha256": digest.hexdigest()}

    def _cached_snapshot(self) -> Path | None:
        from huggingface_hub.errors import LocalEntryNotFoundError

        with suppress(LocalEntryNotFoundError):
            return self._snapshot(_FILES, local_files_only=True)
        return None

    def _download(self, files: Sequence[str]) -> Path:
        import httpx2  # the HTTP client of huggingface_hub

        try:
            return self._snapshot(files)
        except (OSError, httpx2.HTTPError) as error:
            raise ConfigError(
                f"{self} could not be downloaded from the Hugging Face Hub ({sanitize(str(error))}); check the network "
                "and feature_extractor.model and revision, accept the terms of a gated model and set HF_TOKEN, set "
                "feature_extractor.model to a directory, or use feature_extractor=minilm."
            ) from error

    def _snapshot(self, files: Sequence[str], *, local_files_only: bool = False) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError

        try:
            snapshot = snapshot_download(
                self.model,
                revision=self.revision,
                allow_patterns=list(files),
                ignore_patterns=["*/*"],  # subdirectories contain the same weights for other frameworks
                local_files_only=local_files_only,
            )
        except HFValidationError as error:
            raise ConfigError(f"feature_extractor.model={self.model!r} is not a valid name: {error}.") from error
        return Path(snapshot)


def _is_complete(directory: Path) -> bool:
    return (directory / "config.json").is_file() and any(directory.glob("*.safetensors"))


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits. Computed again only after a change of size or time."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
