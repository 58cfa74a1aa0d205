"""Download a dataset's raw files from the Hugging Face Hub."""

from dataclasses import dataclass
from pathlib import Path

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.base import HubFiles


@dataclass(frozen=True)
class RawFiles:
    """Raw files on this machine.

    Attributes:
        paths: Files, or one directory.
        origin: REPOSITORY@REVISION on the Hub; None if they are not from the Hub.

    """

    paths: list[Path]
    origin: str | None


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

    try:
        if not hub.files:
            return _download_tables(hub, directory)
        paths = [hf_hub_download(hub.repo, file, repo_type="dataset", revision=hub.revision) for file in hub.files]
        return RawFiles([Path(path) for path in paths], f"{hub.repo}@{hub.revision}")
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise DataError(
            f"{hub.repo} at {hub.revision} could not be downloaded from the Hugging Face Hub ({type(error).__name__}: "
            f"{reason}); download the files another way and name them by --source."
        ) from error


def _download_tables(hub: HubFiles, directory: Path) -> RawFiles:
    import datasets
    from huggingface_hub import HfApi

    # A branch moves, so its present commit is read and recorded.
    commit = HfApi().dataset_info(hub.repo, revision=hub.revision).sha
    splits = datasets.load_dataset(hub.repo, revision=commit)
    paths = [directory / f"{split}.csv" for split in splits]
    for split, path in zip(splits, paths, strict=True):
        splits[split].to_csv(path, index=False)
    return RawFiles(paths, f"{hub.repo}@{commit}")
