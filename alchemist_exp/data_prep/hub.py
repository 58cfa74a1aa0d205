"""Download a dataset's raw files from the Hugging Face Hub."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.base import HubFiles

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class RawFiles:
    """Raw files on this machine.

    Attributes:
        paths: Files, or one directory.
        origin: REPOSITORY@REVISION on the Hub; None if they are not from the Hub.

    """

    paths: list[Path]
    origin: str | None


@dataclass(frozen=True)
class Tables:
    """Tables that the library `datasets` has read from a repository of the Hub.

    Attributes:
        splits: The table of each split, by the names that the repository has.
        origin: REPOSITORY@COMMIT.

    """

    splits: "Mapping[str, Dataset]"
    origin: str


def download(hub: HubFiles, directory: Path) -> RawFiles:
    """Download the raw files of a dataset.

    Args:
        hub: Where they are on the Hub.
        directory: Where one CSV file per split is written, if the library `datasets` reads the repository.

    Returns:
        Files in the local cache of the Hub, or in `directory`.

    Raises:
        DataError: The Hub is not reachable, or does not have the repository, revision or file.

    """
    from huggingface_hub import hf_hub_download

    advice = "Download the files another way and name them by --source."
    if not hub.files:
        tables = load_tables(hub, advice)
        paths = [directory / f"{split}.csv" for split in tables.splits]
        for table, path in zip(tables.splits.values(), paths, strict=True):
            table.to_csv(path, index=False)
        return RawFiles(paths, tables.origin)
    with _explained(hub, advice):
        files = [hf_hub_download(hub.repo, file, repo_type="dataset", revision=hub.revision) for file in hub.files]
    return RawFiles([Path(file) for file in files], f"{hub.repo}@{hub.revision}")


def load_tables(hub: HubFiles, advice: str) -> Tables:
    """Download a repository that the library `datasets` reads.

    Args:
        hub: Where it is on the Hub.
        advice: What to do if it cannot be downloaded, as a sentence.

    Returns:
        Its splits, in files that are mapped into memory.

    Raises:
        DataError: The Hub is not reachable, or does not have the repository or revision.

    """
    import datasets
    from huggingface_hub import HfApi

    with _explained(hub, advice):
        # A branch moves, so its present commit is read and recorded.
        commit = HfApi().dataset_info(hub.repo, revision=hub.revision).sha
        return Tables(datasets.load_dataset(hub.repo, revision=commit), f"{hub.repo}@{commit}")


@contextmanager
def _explained(hub: HubFiles, advice: str) -> Iterator[None]:
    """Turn an error of the download into one message."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise DataError(
            f"{hub.repo} at {hub.revision} could not be downloaded from the Hugging Face Hub ({type(error).__name__}: "
            f"{reason}). {advice}"
        ) from error
