"""No gold label reaches a prompt, unless labeled rows are to be shown."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import LABEL, TextData
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.run import run
from alchemist_exp.results.record import RunRecord
from tests.methods.test_methods import Repetitive, Scripted

pytestmark = pytest.mark.usefixtures("shared_stages")

PROGRAM = "```python\ndef label_function(row):\n    return {}\n```"
VOTES = (
    "1 if 'http' in row else 0",
    "0 if 'http' in row else 1",
    "1 if 'check' in row.lower() else -1",
    "0 if 'check' in row.lower() else -1",
    "0 if 'http' in row else 1",
    "-1",
    "1 / 0",
)
"""Programs in turn: right and wrong ones, the same one twice, and programs that are rejected without gold labels."""
SCORES = ("1 if scores[0] > scores[1] else 0", "0 if scores[0] > scores[1] else 1", "0 if scores[-1] > 0 else 1")
CONCEPTS = json.dumps({"feet": {"landbird": "toed feet", "waterbird": "webbed feet"}})
TEXTS = ("+experiment=tiny", "method.n_programs=5")
BIRDS = (
    *("dataset=toy_birds", "feature_extractor=clip_toy"),
    *("dataset.n_train=200", "dataset.n_valid=40", "dataset.n_test=40"),
)
STRICT = ("vetting=strict", "repair=on", "repair.max_responses=12", "sandbox.determinism_rows=0")
STRICT = (*STRICT, "vetting.reject_nondeterministic=false")


class Writer(Scripted):
    """Responds with programs in turn, and to other prompts with what they ask for."""

    def __init__(self) -> None:
        super().__init__([])
        self.n_programs = 0

    async def complete(self, request):
        system, prompt = (message.text for message in request.messages)
        if "annotator" in system:
            text = json.dumps({"class": "spam" if "http" in prompt else "ham"})
        elif "JSON" in prompt:
            text = CONCEPTS
        elif "label_function" not in prompt:
            text = "Spam sells."
        else:
            sources = SCORES if "scores" in prompt else VOTES
            text = PROGRAM.format(sources[self.n_programs % len(sources)]).replace(
                "(row)", "(scores)" if sources is SCORES else "(row)"
            )
            self.n_programs += 1
        self.replies.append(text)
        return await super().complete(request)


class RepetitiveWriter(Writer, Repetitive):
    """Needs to be asked for variety, so that its prompts show earlier programs."""


def with_other_gold(data: TextData) -> TextData:
    """Return the dataset with the gold labels of each split in another order."""
    table = {}
    for split, part in data.table.items():
        labels = np.random.default_rng(1).permutation(data.gold(Split(split))).tolist()
        table[split] = part.remove_columns(LABEL).add_column(LABEL, labels, feature=part.features[LABEL])
    return replace(data, table=type(data.table)(table))


@pytest.fixture
def prompts_of(composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs an experiment; returns all prompts in their order, and the record."""

    def build(writer: Writer, *overrides: str, other_gold: bool) -> tuple[Sequence[str], RunRecord]:
        root = tmp_path / f"other_gold_{other_gold}"
        cfg = composed(*overrides, f"paths.outputs={root}", "label_model=majority", "seed=s0", "end_model.max_epochs=2")
        experiment = config.build(cfg)
        client = LLMClient(writer, ResponseCache(root / "replies"), root)
        monkeypatch.setattr(Experiment, "llm_client", lambda _: client)
        data = experiment.dataset.load()
        data = with_other_gold(data) if other_gold else data
        monkeypatch.setattr(type(experiment.dataset), "load", lambda _: data)
        record = run(experiment, config.to_container(cfg), list(overrides), NoProgress()).record
        monkeypatch.undo()
        return [message.text for request in writer.asked for message in request.messages], record

    return build


@pytest.mark.parametrize(
    ("writer", "overrides"),
    [
        (Writer, (*TEXTS, *STRICT, "supplement=mixed", "supplement.strategies=[general,exemplars,keywords]")),
        (RepetitiveWriter, (*TEXTS, *STRICT, "method.performance_hint=true")),
        (Writer, ("+experiment=tiny", "method=zero_shot")),
        (Writer, (*BIRDS, *STRICT, "method.n_programs=3")),
        (Writer, (*BIRDS, "method=roboshot")),
    ],
    ids=["repair", "variety", "zero_shot", "concepts", "roboshot"],
)
def test_prompts_are_the_same_with_other_gold_labels(prompts_of, writer, overrides: Sequence[str]) -> None:
    prompts, record = prompts_of(writer(), *overrides, other_gold=False)
    others, of_other = prompts_of(writer(), *overrides, other_gold=True)
    assert prompts == others
    assert record.label_model["metrics"] != of_other.label_model["metrics"]
    if "vetting=strict" in overrides:
        rejected = [one.programs["rejected_by_stage"].get("below chance", 0) for one in (record, of_other)]
        assert rejected[0] > 0, "gold labels of valid reject programs"
        assert not any("chance" in prompt for prompt in prompts)


def test_shown_rows_have_their_gold_labels(prompts_of) -> None:
    overrides = (*TEXTS, "supplement=exemplars", "supplement.source=data")
    prompts, _ = prompts_of(Writer(), *overrides, other_gold=False)
    others, _ = prompts_of(Writer(), *overrides, other_gold=True)
    assert prompts != others
