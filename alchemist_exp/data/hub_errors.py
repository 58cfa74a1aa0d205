"""Turns errors of the Hugging Face Hub into one sentence."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HubKeys:
    """How messages tell the user to fix a value.

    Attributes:
        repo: Where the name of the repository is.
        revision: Where the revision is.
        config: What to do with the name of a configuration.
        files: How to use downloaded files.

    """

    repo: str
    revision: str
    config: str
    files: str


DATASET_KEYS = HubKeys(
    repo="dataset.repo", revision="dataset.revision", config="set dataset.config to", files="use dataset=files"
)


def explain_hub_error(error: Exception, repo: str, revision: str | None, config: str | None, keys: HubKeys) -> str:
    """Return one sentence about an error of the Hub, or of the library that reads its datasets.

    Args:
        error: The error.
        repo: The repository.
        revision: The revision that was asked for; None for the main branch.
        config: The configuration that was asked for; None for none.
        keys: How to fix it.

    """
    kinds = {cls.__name__ for cls in type(error).__mro__}
    text = " ".join(str(error).split())
    what = f"{repo} at {revision}" if revision else repo
    if "GatedRepoError" in kinds or "is a gated dataset" in text:
        return f"{what} is gated: ask for access on its page of the Hugging Face Hub, then set HF_TOKEN to your token."
    if kinds & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return (
            f"{what} is not a public dataset of the Hugging Face Hub; correct {keys.repo}, or set HF_TOKEN if it is "
            "private."
        )
    if "RevisionNotFoundError" in kinds:
        return f"{repo} has no revision {revision!r}; correct {keys.revision}, or leave it out."
    if "Dataset scripts are no longer supported" in text:
        return (
            f"{what} is made by a Python script, which the library datasets does not run any more; look for a copy in "
            f"Parquet, or download the files and {keys.files}."
        )
    if match := re.search(r"(?:pick one among the available configs|Available): (\[[^\]]*\])", text):
        problem = "needs a configuration" if config is None else f"has no configuration {config!r}"
        return f"{what} {problem}; {keys.config} one of {match[1]}."
    if kinds & {"OfflineModeIsEnabled", "ConnectionError", "ConnectError", "TimeoutException"} or "ffline" in text:
        return (
            f"the Hugging Face Hub could not be reached for {what} ({type(error).__name__}: {text[:160]}); check the "
            f"network and HF_HUB_OFFLINE, or download the files and {keys.files}."
        )
    return f"{what} could not be read from the Hugging Face Hub ({type(error).__name__}: {text[:300].rstrip('.')})."
