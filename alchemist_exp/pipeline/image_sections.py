"""Makes the sections of the record on groups of rows and on concepts of images."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from alchemist_exp.concepts.source import ScoredConcepts
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.types import FloatArray, IntArray, Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.evaluation.fidelity import CLASS, ConceptFidelity, concept_fidelity
from alchemist_exp.evaluation.groups import score_groups, summarize_groups
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.results.record import Section

_SCORED: Final = (Split.VALID, Split.TEST)


def group_section(data: TextData, result: LabelingResult, probs: Mapping[Split, FloatArray]) -> Section:
    """Return the record's section on groups: the rows of one class and one value of the group attribute.

    Args:
        data: The dataset, with its attributes.
        result: The soft labels.
        probs: float32 arrays of shape (n_seeds, n_rows, n_classes), the end model's predictions on each split.

    Returns:
        The groups, their shares of train, and the scores of both models on valid and test by group; empty without a
        group attribute. No stage has seen the attributes.

    """
    if data.group_attribute is None:
        return {}
    values = data.attributes[data.group_attribute].values
    names = [f"{of_class}, {value}" for of_class in data.task.classes for value in values]
    train = _groups(data, Split.TRAIN)
    shares = None if train is None else (np.bincount(train, minlength=len(names)) / len(train)).tolist()
    label_model: Section = {}
    end_model: Section = {}
    for split in _SCORED:
        groups, gold = (_groups(data, split), data.gold(split)) if split in data.splits else (None, None)
        if groups is None or gold is None:
            continue
        if split in result.labels:
            hard = result.labels[split].hard()
            label_model[split.value] = score_groups(gold, hard, groups, names=names, train_shares=shares)
        per_seed = [
            score_groups(gold, of_seed.argmax(axis=1), groups, names=names, train_shares=shares)
            for of_seed in probs.get(split, ())
        ]
        if found := [scores for scores in per_seed if scores is not None]:
            end_model[split.value] = summarize_groups(found)
    section: Section = to_jsonable(
        {
            "attribute": data.group_attribute,
            "names": names,
            "train_shares": shares,
            "used_by": [],
            "label_model": label_model,
            "end_model": end_model,
        }
    )
    return section


def _groups(data: TextData, split: Split) -> IntArray | None:
    """Return the group of each row, int64 array of shape (n_rows,); None without labels."""
    gold = data.gold(split)
    if gold is None or data.group_attribute is None:
        return None
    attribute = data.attributes[data.group_attribute]
    groups: IntArray = gold * len(attribute.values) + attribute.of_rows[split]
    return groups


def concept_section(data: TextData, result: LabelingResult) -> Section:
    """Return the record's section on concepts.

    Args:
        data: The dataset, with its labels and attributes: how well each score separates them is measured on test, or
            else on valid.
        result: Has the concepts and their scores.

    Returns:
        The descriptions, which were dropped and why, and what each score follows; empty without concepts.

    """
    if (found := result.concepts) is None:
        return {}
    reasons = {one.concept.name: one.reason for one in found.dropped}
    fidelity = _fidelity(data, found)
    entries = [
        {
            "concept": concept.name,
            "class": name,
            "description": text,
            "kept": concept.name not in reasons,
            "reason": reasons.get(concept.name, ""),
            "fidelity": to_jsonable(fidelity.get((concept.name, text))),
        }
        for concept in found.named.concepts.concepts
        for name, text in zip(data.task.classes, concept.descriptions, strict=True)
    ]
    return {"source": found.named.source, "scale": found.scale.value, "list": entries}


def _fidelity(data: TextData, concepts: ScoredConcepts) -> dict[tuple[str, str], ConceptFidelity]:
    """Return what each description's score follows, by concept and description; empty without labels."""
    labeled = ((split, gold) for split in (Split.TEST, Split.VALID) if (gold := data.gold(split)) is not None)
    split, gold = next(labeled, (None, None))
    if split is None or gold is None:
        return {}
    attributes = {name: (one.of_rows[split], one.values) for name, one in data.attributes.items()}
    pairs = [(concept.name, text) for concept in concepts.kept.concepts for text in concept.descriptions]
    measured = concept_fidelity(
        concepts.scores[split],
        concepts.kept.descriptions,
        {CLASS: (gold, data.task.classes), **attributes},
        concept_of=[name for name, _ in pairs],
    )
    return dict(zip(pairs, measured, strict=True))
