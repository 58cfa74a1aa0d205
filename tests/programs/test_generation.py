"""Drafts, repairs, further drafts: how many replies are asked for, in what words, and what is kept of the chain."""

import pytest

from alchemist_exp import config
from alchemist_exp.llm.dialogue import RequestBatch, run_dialogue
from alchemist_exp.llm.types import FinishReason, LLMCall, Request, Response
from alchemist_exp.methods.types import GeneratedPrograms
from alchemist_exp.programs.types import Program, RejectionStage, VettingResult, reject
from tests.methods.test_methods import Repetitive, Scripted
from tests.support.contexts import TASK, run_context, text_data


class Judge:
    """Accepts the programs whose source holds "good"; the others are rejected for a reason that quotes a row."""

    def vet(self, candidates):
        programs = [c for c in candidates if isinstance(c, Program)]
        bad = [
            reject(p, RejectionStage.ERRORS, "ValueError: my own secret row")
            for p in programs
            if "good" not in p.source
        ]
        return VettingResult(
            accepted=tuple(p for p in programs if "good" in p.source),
            rejected=(*(c for c in candidates if not isinstance(c, Program)), *bad),
        )


def written(
    composed, answers, *overrides: str, n: int = 2, llm_type=Scripted
) -> tuple[GeneratedPrograms, list[list[Request]]]:
    """What came of it, and the requests of each round."""
    rounds: list[list[Request]] = []
    waiting = iter(answers)

    def answer(ask: RequestBatch) -> list[LLMCall]:
        rounds.append(list(ask.requests))
        made = []
        for request in ask.requests:
            text = next(waiting)
            finish_reason = FinishReason.TRUNCATED if text is None else FinishReason.COMPLETE
            text = "" if text is None else text if text.startswith("no ") else f"```python\n# {text}\n```"
            made.append(
                LLMCall(
                    request=request, response=Response(text=text, model="m-1", finish_reason=finish_reason, usage=None)
                )
            )
        return made

    experiment = config.build(composed(f"method.n_programs={n}", *overrides))
    data = text_data({"train": ["this is my own secret row of text"]})
    context = run_context(experiment, data, experiment.paths.root, llm=llm_type([]))
    dialogue = experiment.method.dialogue(context, Judge(), experiment.supplement, experiment.repair)
    found = run_dialogue(dialogue, answer)
    assert next(waiting, None) is None
    return found, rounds


def origins(found: GeneratedPrograms) -> tuple[list[str], list[str]]:
    vetted = Judge().vet(found.candidates)
    return [p.origin for p in vetted.accepted], [r.origin for r in vetted.rejected]


def test_without_repair_each_program_is_asked_for_once(composed) -> None:
    found, rounds = written(composed, ["bad", "good", None, "no code"], n=4)
    assert origins(found) == (["general 1"], ["general 2", "general 3", "general 0"])
    assert [len(asked) for asked in rounds] == [4]
    assert len(found.candidates) == 4


def test_a_rejected_program_goes_back_with_its_reason_and_without_the_row(composed, prompts) -> None:
    found, rounds = written(composed, ["bad 1", "good 1", "bad 2", "good 2"], "repair.attempts=2")
    assert origins(found) == (["general 1", "general 0.2"], ["general 0", "general 0.1"])
    prompt = prompts.program_request(TASK)
    hidden = "ValueError: [text of a row]"
    assert rounds[1][0].messages[1].text == (
        f"{prompt}\n\nThis program was written:\n\n```python\n# bad 1\n```\n\nIt cannot be used: {hidden}\n\n"
        "Write the whole program anew, without this fault."
    )
    assert rounds[2][0].messages[1].text == rounds[1][0].messages[1].text.replace("bad 1", "bad 2")
    repaired = Judge().vet(found.candidates).accepted[1].provenance
    assert repaired is not None
    assert (repaired.sample, repaired.version, repaired.model, repaired.strategy) == (0, 2, "m-1", "general")
    assert repaired.response_key == rounds[2][0].key


def test_a_reply_without_code_cannot_be_repaired_but_asked_for_again(composed) -> None:
    found, rounds = written(composed, ["no code", "good 1", "good 2"], "repair.attempts=1", "repair.max_responses=9")
    assert origins(found) == (["general 1", "general 2"], ["general 0"])
    assert [[request.sample for request in asked] for asked in rounds] == [[0, 1], [2]]


@pytest.mark.parametrize(("attempts", "most", "replies"), [(0, None, 2), (3, None, 8), (0, 5, 5), (2, 7, 7), (1, 1, 1)])
def test_replies_end_where_they_are_told_to(composed, attempts: int, most: int | None, replies: int) -> None:
    overrides = [f"repair.attempts={attempts}", f"repair.max_responses={'null' if most is None else most}"]
    found, rounds = written(composed, [f"bad {n}" for n in range(replies)], *overrides)
    assert len(found.candidates) == sum(map(len, rounds)) == replies
    assert Judge().vet(found.candidates).accepted == ()


def test_strategies_are_written_side_by_side(composed) -> None:
    answers = ["no words", "no rules", "good g", "bad d", "good r", "good d2"]
    overrides = ["supplement=mixed", "supplement.strategies=[general,description,rules]", "repair.attempts=1"]
    found, rounds = written(composed, answers, *overrides, n=1)
    # The general prompt needs no first call, so its program is asked for with the others' supplements.
    assert [len(asked) for asked in rounds] == [3, 2, 1]
    assert [supplement.strategy for supplement in found.supplements] == ["general", "description", "rules"]


def test_without_a_temperature_each_draft_is_shown_those_before(composed, prompts) -> None:
    found, rounds = written(composed, ["good 1", "bad 1", "good 2"], "repair.max_responses=3", n=2, llm_type=Repetitive)
    texts = [asked[0].messages[1].text for asked in rounds]
    assert texts[1] == prompts.variation_request(texts[0], ["# good 1\n"])
    assert texts[2] == prompts.variation_request(texts[0], ["# good 1\n"])  # a rejected one is nothing to differ from
    assert origins(found) == (["general 0", "general 2"], ["general 1"])


def test_the_performance_hint_is_in_the_prompt_only_when_asked_for(composed, prompts) -> None:
    for hint in (False, True):
        _, rounds = written(composed, ["good"], f"method.performance_hint={str(hint).lower()}", n=1)
        assert (prompts.performance_hint in rounds[0][0].messages[1].text) is hint
        assert rounds[0][0].messages[1].text.endswith("def label_function(text: str) -> int:")
