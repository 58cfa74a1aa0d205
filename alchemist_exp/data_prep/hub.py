"""Fetches a dataset's raw files from the Hugging Face hub. Only when it is asked to: no run does."""

from dataclasses import dataclass
from pathlib import Path

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.base import HubFiles


@dataclass(frozen=True)
class Fetched:
    """Raw files on this machine. origin: where on the hub they came from, REPOSITORY@REVISION; None: not from there."""

    paths: list[Path]
    origin: str | None


def fetch(hub: HubFiles, folder: Path) -> Fetched:
    """The raw files, in the hub's own cache; where `datasets` reads the repository, one CSV a split in `folder`.

    DataError when the hub cannot be reached, or has no such repository, revision or file.
    """
    try:
        return _raw_files(hub) if hub.files else _tables(hub, folder)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise DataError(
            f"{hub.repo} at {hub.revision} could not be had from the Hugging Face hub ({type(error).__name__}: "
            f"{reason}); fetch the files another way and name them by --source."
        ) from error


def _raw_files(hub: HubFiles) -> Fetched:
    from huggingface_hub import hf_hub_download

    paths = [hf_hub_download(hub.repo, file, repo_type="dataset", revision=hub.revision) for file in hub.files]
    return Fetched([Path(path) for path in paths], f"{hub.repo}@{hub.revision}")


def _tables(hub: HubFiles, folder: Path) -> Fetched:
    import datasets
    from huggingface_hub import HfApi

    # A branch moves: what it is at now is read, and noted.
    commit = HfApi().dataset_info(hub.repo, revision=hub.revision).sha
    splits = datasets.load_dataset(hub.repo, revision=commit)
    paths = [folder / f"{split}.csv" for split in splits]
    for split, path in zip(splits, paths, strict=True):
        splits[split].to_csv(path, index=False)
    return Fetched(paths, f"{hub.repo}@{commit}")
