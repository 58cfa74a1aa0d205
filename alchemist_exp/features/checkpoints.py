"""Where an encoder's weights lie: in a folder, or on the Hugging Face hub. What they are is told by content, not place.

Only safetensors are read, never a pickle, and no code that comes with a model is run. Nothing is downloaded before
`folder` is called.
"""

import functools
import hashlib
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import sanitize

_log = logging.getLogger(__name__)

_READ = ("*.json", "*.txt", "*.model", "*.safetensors")
"""The files of a model that configuration, tokenizer and weights are read from."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Checkpoint(ABC):
    """One model's files."""

    @abstractmethod
    def here(self) -> Path | None:
        """The folder that holds the files; None when they must be downloaded first. ConfigError: not to be had."""

    @abstractmethod
    def folder(self) -> Path:
        """As `here`, after downloading what is missing."""

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """What tells this model from every other, as JSON knows it; the same wherever it lies."""


@dataclass(frozen=True, kw_only=True)
class LocalCheckpoint(Checkpoint):
    """A folder with config.json, a tokenizer and *.safetensors, as `save_pretrained` writes it."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def here(self) -> Path:
        """The folder itself. ConfigError when it is not there or holds no such model."""
        if not self.path.is_dir():
            raise ConfigError(
                f"the model's folder {self.path} is not there; mend feature_extractor.model, or put the folder there."
            )
        if not _complete(self.path):
            raise ConfigError(
                f"the folder {self.path} holds no model: config.json and *.safetensors are needed, as "
                "save_pretrained writes them."
            )
        return self.path

    def folder(self) -> Path:
        """The folder itself."""
        return self.here()

    def identity(self) -> dict[str, str]:
        """A sha256 over names and contents of all files that a model is read from."""
        folder, digest = self.here(), hashlib.sha256()
        for path in sorted(path for pattern in _READ for path in folder.glob(pattern)):
            state = path.stat()
            digest.update(f"{path.name}\n{_sha256(path, state.st_size, state.st_mtime_ns)}\n".encode())
        return {"sha256": digest.hexdigest()}


@dataclass(frozen=True, kw_only=True)
class HubCheckpoint(Checkpoint):
    """A model of the Hugging Face hub: owner/name, and a commit, branch or tag of its repository.

    A branch or tag means the commit that the local cache knows by that name; the hub is asked only when it knows none.
    """

    model: str
    revision: str

    def __str__(self) -> str:
        return f"the model {self.model} (revision {self.revision})"

    def here(self) -> Path | None:
        """The snapshot in the cache. ConfigError when it is not complete and HF_HUB_OFFLINE forbids to fetch it."""
        from huggingface_hub import is_offline_mode
        from huggingface_hub.errors import LocalEntryNotFoundError

        with suppress(LocalEntryNotFoundError):
            found = self._snapshot(_READ, local_files_only=True)
            if _complete(found):
                return found
        if is_offline_mode():
            raise ConfigError(
                f"{self} is not in the local cache and HF_HUB_OFFLINE is "
                "set; run once without it, name a folder in feature_extractor.model, or use feature_extractor=minilm."
            )
        return None

    def folder(self) -> Path:
        """The snapshot, downloaded when it is not in the cache. ConfigError when it cannot be had."""
        if found := self.here():
            return found
        _log.warning("downloading the model %s from the Hugging Face hub", self.model)
        found = self._fetched(_READ)
        if not _complete(found):
            raise ConfigError(
                f"{self} has no safetensors, and pickled weights are not "
                "read; name another feature_extractor.model or revision."
            )
        return found

    def identity(self) -> dict[str, str]:
        """The model and the commit that its revision means."""
        if _COMMIT.fullmatch(self.revision):
            return {"model": self.model, "commit": self.revision}
        snapshot = self._cached()
        if snapshot is None:
            self.here()  # refuses when offline
            snapshot = self._fetched(("config.json",))
        return {"model": self.model, "commit": snapshot.name}

    def _cached(self) -> Path | None:
        """The snapshot's folder, named by its commit, when the cache holds at least its config.json."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.model, "config.json", revision=self.revision)
        return Path(found).parent if isinstance(found, str) else None

    def _fetched(self, names: Sequence[str]) -> Path:
        """The snapshot's folder after downloading the files of these names. ConfigError with the hub's reason."""
        import httpx2  # what huggingface_hub speaks through
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            return self._snapshot(names)
        except GatedRepoError as error:
            raise ConfigError(f"{self} is gated; accept its terms on the Hugging Face hub and set HF_TOKEN.") from error
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise ConfigError(
                f"{self} is not on the Hugging Face hub, or is private; mend feature_extractor.model and revision, "
                "or set HF_TOKEN."
            ) from error
        except (OSError, httpx2.HTTPError) as error:
            raise ConfigError(
                f"{self} could not be downloaded ({sanitize(str(error))}); try again with a network, name a folder "
                "in feature_extractor.model, or use feature_extractor=minilm."
            ) from error

    def _snapshot(self, names: Sequence[str], *, local_files_only: bool = False) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError

        try:
            folder = snapshot_download(
                self.model,
                revision=self.revision,
                allow_patterns=list(names),
                ignore_patterns=["*/*"],  # folders hold the same weights for other frameworks
                local_files_only=local_files_only,
            )
        except HFValidationError as error:
            raise ConfigError(
                f"feature_extractor.model is {self.model!r}, which no model of the hub is called ({error})."
            ) from error
        return Path(folder)


def _complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


@functools.lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    """The file's content, read again only when its size or time has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
