"""What the stages of a run share, for tests of single stages."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets

from alchemist_exp.context import RunContext, UsableGold
from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.progress import NoProgress, StageProgress
from alchemist_exp.core.task import Task
from alchemist_exp.core.types import IntArray, Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import LLM
from alchemist_exp.pipeline.experiment import Experiment

TASK = Task(
    name="t", description="Do it.", classes=("ham", "spam"), subject="text", relation="is", zero_shot_prompt="[text]"
)


def text_data(texts: Mapping[str, Sequence[str]], task: Task = TASK) -> TextData:
    """Return a dataset without labels, by split."""
    table = {split: datasets.Dataset.from_dict({"text": list(rows)}) for split, rows in texts.items()}
    return TextData(task=task, table=datasets.DatasetDict(table))


def run_context(
    experiment: Experiment,
    data: TextData,
    root: Path,
    *,
    llm: LLM | None = None,
    gold: Mapping[Split, IntArray] | None = None,
) -> RunContext:
    """Return a context with its cache under `root`; without features."""
    return RunContext(
        data=data,
        gold=UsableGold(labels=gold or {}),
        llm_client=LLMClient(llm or experiment.llm, ResponseCache(root / "replies"), root),
        prompts=experiment.prompt,
        sandbox=experiment.sandbox,
        label_model=experiment.label_model,
        cache=ArtifactCache(root / "cache"),
        progress=StageProgress(NoProgress()),
        extractor=experiment.feature_extractor,
        features=dict,
    )
