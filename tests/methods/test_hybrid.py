"""Programs label the rows, and the LLM is asked about those that their votes leave in doubt."""

import json

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.types import Split
from alchemist_exp.llm.budget import BudgetError
from alchemist_exp.llm.cost import cost_of
from alchemist_exp.llm.providers.recorded import RecordedLLM
from alchemist_exp.llm.types import FinishReason, LLMCall, Request, Response
from alchemist_exp.methods.doubt import tie_key
from alchemist_exp.methods.hybrid import OVER_BUDGET
from alchemist_exp.pipeline.asked_section import asked_section
from alchemist_exp.pipeline.run import label_rows
from alchemist_exp.programs.trials import AssumedTrials
from alchemist_exp.results.record import RunRecord, RunStatus
from tests.methods.test_methods import Scripted
from tests.support.contexts import run_context, text_data

pytestmark = pytest.mark.usefixtures("shared_stages")

# "hello" is uncovered, "win a car" and "win" are contested, and both programs agree on the others.
SPAM = "```python\ndef label_function(text):\n    return 1 if 'win' in text or 'buy' in text else -1\n```"
HAM = "```python\ndef label_function(text):\n    return 0 if 'win' in text else 1 if 'buy' in text else -1\n```"
TRAIN = ["buy now", "hello", "win a car", "hello", "buy it", "win"]
DOUBTFUL = ["hello", *sorted(["win a car", "win"], key=tie_key)]


class Ended(Scripted):
    """Allows no more calls after its responses."""

    async def complete(self, request: Request) -> Response:
        if len(self.asked) == len(self.replies):
            raise BudgetError("the budget of $1.00 is used up.")
        return await super().complete(request)


@pytest.fixture
def job(composed, tmp_path):
    def build(llm, *overrides: str):
        chosen = ("method=hybrid", "method.n_programs=2", "label_model=majority", "gold=none", *overrides)
        experiment = config.build(composed(*chosen))
        data = text_data({"train": TRAIN, "valid": ["win", "buy"]}, experiment.dataset.describe_task())
        return experiment, run_context(experiment, data, tmp_path, llm=llm)

    return build


def said(name: str) -> str:
    return json.dumps({"class": name})


def test_doubtful_rows_are_asked_about_once_and_replace_the_soft_labels(job) -> None:
    llm = Scripted([SPAM, HAM, said("ham"), said("spam"), "no idea"])
    experiment, context = job(llm, "method.llm_confidence=0.9")
    result = label_rows(experiment, context)
    assert [request.messages[1].text.rpartition(": ")[2] for request in llm.asked[2:]] == DOUBTFUL
    assert result.labels[Split.TRAIN].hard()[[0, 1, 3, 4]].tolist() == [1, -1, -1, 1]
    labels = result.train_labels
    assert labels.probs[1].tolist() == labels.probs[3].tolist() == pytest.approx([0.9, 0.1])
    assert labels.probs[TRAIN.index(DOUBTFUL[1])].tolist() == pytest.approx([0.1, 0.9])
    assert labels.probs[TRAIN.index(DOUBTFUL[2])].tolist() == [0.5, 0.5]  # its response names no class
    assert labels.probs[[0, 4]].tolist() == [[0, 1], [0, 1]]
    assert labels.covered.all()
    assert [*result.labels] == [Split.TRAIN, Split.VALID]
    section = asked_section(result, context.data, experiment.llm)["asked_rows"]
    assert (section["doubtful"], section["asked"], section["asked_uncovered"], section["labeled"]) == (4, 4, 2, 3)
    assert section["outcomes"] == {"labeled": 2, "unparseable": 1}
    assert (len(result.calls), cost_of(result.calls, context.llm).calls) == (5, 5)
    assert context.gold.uses == []


def test_fewer_rows_are_the_most_doubtful_ones_and_failed_rows_keep_their_label(job) -> None:
    llm = Scripted([SPAM, HAM, said("ham"), FinishReason.REFUSED])
    experiment, context = job(llm, "method.n_rows=2")
    result = label_rows(experiment, context)
    assert result.train_labels.probs[1].tolist() == [1, 0]
    assert result.train_labels.probs[TRAIN.index(DOUBTFUL[1])].tolist() == [0.5, 0.5]
    assert result.asked is not None
    assert (result.asked.n_doubtful, dict(result.asked.outcomes)) == (4, {"labeled": 1, "refused": 1})
    number = TRAIN.index(DOUBTFUL[1]) + 1
    assert result.notes == (f"1 of 3 rows of train got no response: row {number} (refused).",)


def test_without_a_usable_response_the_labels_are_those_of_programs(job) -> None:
    experiment, context = job(Scripted([SPAM, HAM, "?", "?", "?"]))
    result = label_rows(experiment, context)
    assert result.train_labels.probs.tolist() == result.labels[Split.TRAIN].probs.tolist()
    assert "The LLM labels no doubtful row" in result.notes[0]


def test_when_the_budget_is_used_up_the_run_goes_on_with_the_labels_it_has(job) -> None:
    experiment, context = job(Ended([SPAM, HAM, said("ham")]))
    result = label_rows(experiment, context)
    assert result.train_labels.covered.tolist() == [True] * 6
    assert "asked about 1 of 3 doubtful rows: the budget of $1.00 is used up." in result.notes[-1]
    programs = asked_section(result, context.data, experiment.llm)
    assert programs["asked_rows"]["outcomes"] == {"labeled": 1, OVER_BUDGET: 2}
    record = RunRecord(run_key="k", status=RunStatus.FINISHED, started_at="", programs=programs)
    record.config = {"budget": {"usd": None}}
    assert not experiment.runs_again_after(record)
    record.config = {"budget": {"usd": 1.0}}
    assert experiment.runs_again_after(record)


def test_a_plan_counts_the_most_rows_that_a_run_asks_about(job) -> None:
    for overrides, n_rows in ((("method.n_rows=2",), 2), (("method.n_rows=null",), 5)):
        experiment, context = job(Scripted([]), *overrides)
        trials = AssumedTrials(data=context.data, accepting=True)
        dialogue = experiment.method.dialogue(context, trials, experiment.supplement, experiment.repair)
        programs = next(dialogue).requests
        assert len(programs) == 2
        text = Response(text=SPAM, model="m", finish_reason=FinishReason.COMPLETE, usage=None)
        batch = dialogue.send([LLMCall(request=request, response=text) for request in programs])
        assert (len(batch.requests), batch.per_row) == (n_rows, True)


def test_a_row_without_a_recorded_response_is_one_sentence(job, composed) -> None:
    recorded = config.build(composed("llm=recorded", "dataset=youtube")).llm
    assert isinstance(recorded, RecordedLLM)
    experiment, context = job(recorded)
    method = experiment.method
    with pytest.raises(LLMError, match=r"asks about 1 rows, .* lower method.n_rows, or call a model"):
        method._answer(context, method._requests(context, ["hello"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method.n_rows=0", "method.n_rows is 0; expected 1 or more rows, or null"),
        ("method.llm_confidence=0.3", "method.llm_confidence is 0.3; expected a probability above 0.5, at most 1"),
        ("method.max_output_tokens=0", "method.max_output_tokens is 0; expected 1 or more"),
    ],
)
def test_bad_values_are_refused(job, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        job(Scripted([]), override)
