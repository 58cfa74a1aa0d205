"""Fetches a dataset's raw files from the Hugging Face hub. Only when it is asked to: no run does."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from alchemist_exp.core.errors import DataError


@dataclass(kw_only=True)
class Hub:
    """Where a dataset is on the hub. revision: a branch, tag or commit. files: raw files; none: `datasets` reads it."""

    repo: str = MISSING
    revision: str = MISSING
    files: list[str] = field(default_factory=list)


def fetch(hub: Hub, folder: Path) -> list[Path]:
    """The raw files, in the hub's own cache; where `datasets` reads the repository, one CSV a split in `folder`.

    DataError when the hub cannot be reached, or has no such repository, revision or file.
    """
    import datasets
    from huggingface_hub import hf_hub_download

    try:
        if hub.files:
            return [
                Path(hf_hub_download(hub.repo, file, repo_type="dataset", revision=hub.revision)) for file in hub.files
            ]
        splits = datasets.load_dataset(hub.repo, revision=hub.revision)
        paths = []
        for split in splits:
            paths.append(folder / f"{split}.csv")
            splits[split].to_csv(paths[-1], index=False)
        return paths
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise DataError(
            f"{hub.repo} at {hub.revision} could not be had from the Hugging Face hub ({type(error).__name__}: "
            f"{reason}); fetch the files another way and name them by --source."
        ) from error
