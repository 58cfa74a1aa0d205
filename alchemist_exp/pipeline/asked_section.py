"""The record's section on rows that an LLM labels in addition to programs."""

import numpy as np

from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.types import ABSTAIN, Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.llm.cost import cost_of
from alchemist_exp.llm.types import LLM
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.results.record import Section


def asked_section(result: LabelingResult, data: TextData, llm: LLM) -> Section:
    """Return the section on the rows that the LLM was asked about.

    Args:
        result: The labels, and the rows that were asked about.
        data: The dataset with its gold labels; those of train are used for scores only.
        llm: The model, which has the price.

    Returns:
        Under `asked_rows`: doubtful and asked rows, outcomes of the calls, labels that differ from the label model's,
        dollars, coverage, and the accuracy of both labels where train has gold labels. Empty for other methods.

    """
    if (asked := result.asked) is None:
        return {}
    before, cost = result.labels[Split.TRAIN].hard(), cost_of(asked.calls, llm)
    labeled = asked.votes != ABSTAIN
    rows, votes = asked.rows[labeled], asked.votes[labeled]
    section = {
        "doubtful": asked.n_doubtful,
        "asked": len(asked.rows),
        "asked_uncovered": int((before[asked.rows] == ABSTAIN).sum()),
        "labeled": len(rows),
        "changed": int(((votes != before[rows]) & (before[rows] != ABSTAIN)).sum()),
        "calls": len(asked.calls),
        "outcomes": dict(asked.outcomes),
        "coverage": float(result.train_labels.covered.mean()),
        "spent_usd": cost.spent_usd,
        "list_price_usd": cost.list_price_usd,
        "accuracy": None,
        "label_model_accuracy": None,
    }
    if (gold := data.gold(Split.TRAIN)) is not None and len(rows):
        section["accuracy"] = float(np.mean(votes == gold[rows]))
        if (voted := before[rows] != ABSTAIN).any():
            section["label_model_accuracy"] = float(np.mean(before[rows][voted] == gold[rows][voted]))
    return {"asked_rows": to_jsonable(section)}
