"""Measures which known attribute of the images the score of a concept description follows.

A score that separates the background better than the attribute that its description names is a warning: programs that
use it look at the background.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import BoolArray, IntArray

CLASS: Final = "class"
"""The name under which the class is passed as an attribute."""

_Scores = npt.NDArray[np.floating[Any]]
_Ranks = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ConceptFidelity:
    """How well the score of one description separates each attribute.

    Attributes:
        description: The description.
        own: The attribute that the description is about, see `concept_fidelity`; None if that is not known.
        follows: The attribute with the largest AUC, the first of equal ones; None without AUCs.
        aucs: By attribute, the AUC of the value that the score separates best from the others, in 0.5..1: a low score
            may mark the value too. With more than two values, that is the largest of several, and so above 0.5 also for
            a random score. An attribute with the same value in all rows has no AUC.

    """

    description: str
    own: str | None
    follows: str | None
    aucs: Mapping[str, float]


def auc(scores: _Scores, is_positive: BoolArray) -> float | None:
    """Return the area under the ROC curve, from the Mann-Whitney U statistic (Hanley and McNeil, 1982).

    Args:
        scores: float array of shape (n_rows,).
        is_positive: Boolean array of shape (n_rows,).

    Returns:
        The share of pairs of a positive and a negative row in which the positive row has the higher score; a pair with
        equal scores counts half. None when there is no positive row, or no negative one.

    Raises:
        ValueError: The shapes do not match, or a score is NaN.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
        0.875

    """
    scores, is_positive = np.asarray(scores), np.asarray(is_positive, dtype=np.bool_)
    if scores.ndim != 1 or scores.shape != is_positive.shape:
        raise ValueError(
            f"scores {scores.shape} and is_positive {is_positive.shape} do not match; expected (n_rows,) for both"
        )
    return _auc_of_ranks(_mid_ranks(scores), is_positive)


def concept_fidelity(
    scores: _Scores,
    descriptions: Sequence[str],
    attributes: Mapping[str, tuple[IntArray, tuple[str, ...]]],
    *,
    concept_of: Sequence[str] | None = None,
) -> tuple[ConceptFidelity, ...]:
    """Measure how well each description's score separates each attribute.

    A description is about the attribute with the most words of its name in it or, with equal numbers, the most words of
    its values; it is about none if two attributes are equal. Words are compared without case and without a plural "s".
    The class is never the own attribute, and a value that several attributes have ("short" bill, "short" neck) does not
    count.

    Args:
        scores: float array of shape (n_rows, n_descriptions).
        descriptions: The descriptions, such as "A bird's neck is short".
        attributes: By name, an int64 array of shape (n_rows,) with each row's value in 0..n_values-1, and the names of
            the values. The class is the attribute "class".
        concept_of: For each description, the name of its concept. The descriptions of one concept have the same own
            attribute, for which the words of all of them count. None: each description is a concept.

    Returns:
        One entry per description.

    Raises:
        ValueError: The shapes do not match, a value is out of range, or a score is NaN.

    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or scores.shape[1] != len(descriptions):
        raise ValueError(f"scores have shape {scores.shape}; expected (n_rows, {len(descriptions)})")
    for name, (values, value_names) in attributes.items():
        if values.shape != scores.shape[:1]:
            raise ValueError(f"attribute {name} has shape {values.shape}; expected {scores.shape[:1]}")
        if values.size and not 0 <= values.min() <= values.max() < len(value_names):
            raise ValueError(
                f"attribute {name} is in {values.min()}..{values.max()}; expected 0..{len(value_names) - 1}"
            )
    concepts = list(descriptions if concept_of is None else concept_of)
    if len(concepts) != len(descriptions):
        raise ValueError(f"concept_of has {len(concepts)} entries; expected one for each of {len(descriptions)}")
    texts: dict[str, list[str]] = {}
    for concept, description in zip(concepts, descriptions, strict=True):
        texts.setdefault(concept, []).append(description)
    value_names_of = {name: value_names for name, (_, value_names) in attributes.items()}
    own = {concept: _own_attribute(of_concept, value_names_of) for concept, of_concept in texts.items()}
    fidelity = []
    for number, (description, concept) in enumerate(zip(descriptions, concepts, strict=True)):
        aucs = _attribute_aucs(scores[:, number], attributes)
        follows = max(aucs, key=aucs.__getitem__, default=None)
        fidelity.append(ConceptFidelity(description=description, own=own[concept], follows=follows, aucs=aucs))
    return tuple(fidelity)


def _attribute_aucs(scores: _Scores, attributes: Mapping[str, tuple[IntArray, tuple[str, ...]]]) -> dict[str, float]:
    """Return the best folded AUC of each attribute that has at least two values in the rows."""
    ranks = _mid_ranks(scores)
    aucs = {}
    for name, (values, _) in attributes.items():
        of_values = [_auc_of_ranks(ranks, values == value) for value in np.unique(values)]
        if folded := [max(one, 1 - one) for one in of_values if one is not None]:
            aucs[name] = max(folded)
    return aucs


def _mid_ranks(scores: _Scores) -> _Ranks:
    """Return ranks from 1; rows with equal scores share the mean of their ranks."""
    if np.isnan(scores).any():
        raise ValueError("a score is NaN; expected a number for each row")
    _, level, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: _Ranks = (np.cumsum(counts) - (counts - 1) / 2)[level]
    return ranks


def _auc_of_ranks(ranks: _Ranks, is_positive: BoolArray) -> float | None:
    n_positive = int(is_positive.sum())
    n_pairs = n_positive * (len(ranks) - n_positive)
    if not n_pairs:
        return None
    return float((ranks[is_positive].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)


def _own_attribute(texts: Sequence[str], value_names_of: Mapping[str, Sequence[str]]) -> str | None:
    """Return the attribute that the descriptions of one concept are about, see `concept_fidelity`."""
    found = [_words(text) for text in texts]
    # Of the class too: a background "water" does not count where a class is named "water".
    all_values = [value for value_names in value_names_of.values() for value in value_names]
    evidence: dict[str, tuple[int, int]] = {}
    for name, value_names in value_names_of.items():
        if name == CLASS:
            continue
        values = [_words(value) for value in value_names if all_values.count(value) == 1]
        in_name = sum(len(_words(name) & words) for words in found)
        in_values = sum(len(value) for words in found for value in values if value <= words)
        evidence[name] = (in_name, in_values)
    most = max(evidence.values(), default=(0, 0))
    about = [name for name, words in evidence.items() if words == most]
    return about[0] if len(about) == 1 and most > (0, 0) else None


def _words(text: str) -> set[str]:
    """Return the words of a text, in lower case and without a plural "s"."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return {word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words}
