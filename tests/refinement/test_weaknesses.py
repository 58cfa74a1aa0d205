"""What is found to be weak, and what a prompt says about it."""

import numpy as np

from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.prompts.templates import PromptTemplates
from alchemist_exp.refinement.prompts import ShownRow, refine_request
from alchemist_exp.refinement.shown_rows import redact_row
from alchemist_exp.refinement.weaknesses import WeaknessKind, bank_state
from alchemist_exp.refinement.words import WordCounts
from tests.support.contexts import TASK

TEXTS = (
    ["free prize today"] * 40 + ["see you soon"] * 40 + ["urgent reply wanted"] * 20 + [f"name{i} x" for i in range(20)]
)
SPAM, HAM, OPEN, OTHER = (np.repeat(np.arange(4), [40, 40, 20, 20]) == group for group in range(4))


def matrix() -> LabelMatrix:
    """Two programs: both see spam and ham, they contradict each other on OTHER, none votes on OPEN."""
    one = np.select([SPAM, HAM, OTHER], [1, 0, 1], -1)
    other = np.select([SPAM, HAM, OTHER], [1, 0, 0], -1)
    return LabelMatrix(votes=np.stack([one, other], axis=1).astype(np.int8), n_classes=2)


def test_weaknesses_are_uncovered_rows_then_the_weakest_class_then_contradictions():
    state = bank_state(matrix(), WordCounts.of(TEXTS))
    assert [w.kind for w in state.weaknesses] == [WeaknessKind.UNCOVERED, WeaknessKind.CLASS, WeaknessKind.CONTESTED]
    assert state.scores is None
    uncovered, _, contested = state.weaknesses
    assert uncovered.words == ["reply", "urgent", "wanted"]  # no name of a single row
    assert contested.classes == (0, 1)
    np.testing.assert_array_equal(contested.rows, OTHER)


def test_with_gold_the_class_with_the_lowest_f1_is_the_weakest():
    gold = np.where(SPAM | OPEN | OTHER, 1, 0)
    state = bank_state(matrix(), WordCounts.of(TEXTS), matrix(), gold)
    weakest = state.weaknesses[1]
    assert weakest.recall is not None
    assert weakest.recall.open == (0.25 if weakest.classes == (1,) else 0)


def test_a_prompt_is_complete_and_has_no_row_unless_rows_are_shown(templates: PromptTemplates):
    gold = np.where(SPAM | OPEN | OTHER, 1, 0)
    state = bank_state(matrix(), WordCounts.of(TEXTS), matrix(), gold)
    request = templates.program_request(TASK)
    for weakness in state.weaknesses:
        prompt = refine_request(templates, TASK, request, state, weakness)
        assert prompt.startswith(request)
        assert "83% of the rows have at least one vote" in prompt
        assert "F1 score of " in prompt
        assert not any(f"[{name}]" in prompt for name in ("share", "words", "class", "recall", "balance", "scores"))
        assert "free prize today" not in prompt
    shown = refine_request(
        templates,
        TASK,
        request,
        state,
        state.weaknesses[0],
        [ShownRow(text="free [class]", votes="1 for ham", known="spam")],
    )
    assert '- "free [class]" (votes: 1 for ham), known to be spam' in shown


def test_rows_are_shown_without_what_identifies_a_person():
    shown = redact_row("mail a.b@c.org or @dan, +44 (0)20 7946 0958, www.x.org/y, in 2024")
    assert shown == "mail [e-mail] or [user], [number], [link], in 2024"
