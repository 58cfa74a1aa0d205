"""Writes the requests of a round: each is complete in itself and asks for one program that works on one weakness."""

from collections.abc import Sequence
from dataclasses import dataclass

from alchemist_exp.core.task import Task
from alchemist_exp.prompts.filling import fill, listed, share_text, shorten, task_words
from alchemist_exp.prompts.templates import PromptTemplates
from alchemist_exp.refinement.weaknesses import BankState, ClassRecall, Weakness, WeaknessKind


@dataclass(frozen=True, kw_only=True)
class ShownRow:
    """An example row in a prompt.

    Attributes:
        text: The row, redacted.
        votes: The votes on it; "" without votes.
        known: Its class; "" if it is not shown.

    """

    text: str
    votes: str
    known: str = ""


def refine_request(
    prompts: PromptTemplates,
    task: Task,
    request: str,
    state: BankState,
    weakness: Weakness,
    shown_rows: Sequence[ShownRow] = (),
) -> str:
    """Return the prompt that asks for a program which works on a weakness.

    Args:
        prompts: The templates.
        task: The labeling task.
        request: The prompt for a program without supplement, by `PromptTemplates.program_request`.
        state: What the present programs do.
        weakness: What the new program is to work on.
        shown_rows: Example rows.

    Returns:
        The prompt.

    """
    templates, words = prompts.refine, task_words(task)
    scores = ""
    if state.scores is not None:
        f1s = [
            f'{share_text(of_class.f1)} for "{name}"'
            for name, of_class in zip(task.classes, state.scores, strict=True)
            if of_class.f1 is not None
        ]
        balance = _balance(prompts, task, "balance", state.balance)
        scores = fill(templates["scores"], words | {"balance": balance, "class_scores": listed(f1s)})
    lines = []
    for row in shown_rows:
        of_votes = fill(templates["votes"], words | {"votes": row.votes}) if row.votes else ""
        of_known = fill(templates["known"], words | {"class": row.known}) if row.known else ""
        lines.append(fill(templates["row"], words | {"text": shorten(row.text), "votes": of_votes, "known": of_known}))
    rows = fill(templates["rows"], words | {"rows": "\n".join(lines)}) if lines else ""
    return fill(
        templates["request"],
        words
        | {
            "request": request,
            "n_programs": f"{state.n_programs:,}",
            "n_rows": f"{state.n_rows:,}",
            "coverage": share_text(state.coverage),
            "scores": scores,
            "weakness": _weakness(prompts, task, weakness) + rows,
        },
    )


def _weakness(prompts: PromptTemplates, task: Task, weakness: Weakness) -> str:
    """Return the paragraph about a weakness."""
    templates, words, classes = prompts.refine, task_words(task), task.classes
    lines = []
    if weakness.words:
        lines.append(fill(templates["words"], words | {"words": ", ".join(weakness.words)}))
    for label, of_class in weakness.class_words.items():
        if of_class:
            lines.append(
                fill(templates["class_words"], words | {"class": classes[label], "words": ", ".join(of_class)})
            )
    found = {"share": share_text(weakness.share), "words": "".join(lines)}
    match weakness.kind:
        case WeaknessKind.UNCOVERED:
            found["open_balance"] = _balance(prompts, task, "open_balance", weakness.balance)
        case WeaknessKind.CLASS:
            (label,) = weakness.classes
            recall = "" if weakness.recall is None else _recall(prompts, task, weakness.recall)
            found |= {"class": classes[label], "index": str(label), "recall": recall}
        case WeaknessKind.CONTESTED:
            first, second = weakness.classes
            found |= {"first": classes[first], "second": classes[second]}
    return fill(templates[weakness.kind.value], words | found)


def _balance(prompts: PromptTemplates, task: Task, template: str, shares: Sequence[float] | None) -> str:
    """Return the sentence about class shares; "" without shares."""
    if shares is None:
        return ""
    parts = [f'{share_text(share)} are "{name}"' for name, share in zip(task.classes, shares, strict=True)]
    return fill(prompts.refine[template], task_words(task) | {"shares": listed(parts)})


def _recall(prompts: PromptTemplates, task: Task, recall: ClassRecall) -> str:
    confused = ""
    if recall.other is not None:
        confused = fill(prompts.refine["confused"], task_words(task) | {"other": f'"{task.classes[recall.other]}"'})
    precision = ""
    if recall.precision is not None:
        precision = fill(prompts.refine["precision"], task_words(task) | {"right": share_text(recall.precision)})
    values = {
        "found": share_text(recall.found),
        "missed": share_text(recall.missed),
        "open": share_text(recall.open),
        "confused": confused,
        "precision": precision,
    }
    return fill(prompts.refine["recall"], task_words(task) | values)
