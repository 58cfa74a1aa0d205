"""Turns images into what programs read: the concepts are named, filtered, and scored (paper, Section 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from alchemist_exp.concepts.filters import DroppedConcept, filter_concepts
from alchemist_exp.concepts.scales import ScoreScale, fit_scale
from alchemist_exp.concepts.source import Concepts, ScoredConcepts, assuming_parser
from alchemist_exp.concepts.types import ConceptSet
from alchemist_exp.context import RunContext
from alchemist_exp.core.artifact_cache import read_array
from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.types import FloatArray, Split
from alchemist_exp.data.score_rows import ScoreRows, score_rows
from alchemist_exp.data.text_data import TEXT, TextData
from alchemist_exp.features.images.base import ImageTextEncoder
from alchemist_exp.llm.dialogue import Dialogue, run_dialogue


def name_and_score(
    context: RunContext, concepts: Concepts, encoder: ImageTextEncoder
) -> tuple[RunContext, ScoredConcepts]:
    """Have concepts named, filter them, and score every image.

    Args:
        context: What the stages of the run share; its rows are images.
        concepts: The configured concepts.
        encoder: The configured feature extractor.

    Returns:
        A context whose rows are the scores, for the stages that make and run programs; and the concepts.

    Raises:
        AlchemistError: The LLM named no usable concepts, or the filters drop all.

    """
    named = run_dialogue(concepts.dialogue(context), context.answer)
    features = context.features()
    with context.progress.stage("concepts", f"scoring {len(named.concepts.concepts)} concepts"):
        entry = context.cache.get_or_create(
            "concept_scores",
            _key(context, concepts, encoder, named.concepts),
            lambda directory: _score(directory, context, concepts, encoder, named.concepts, features),
        )
        kept, dropped = _read_kept(entry, named.concepts)
        scores = {split: read_array(entry / f"{split}.npy") for split in context.data.splits}
        scale = fit_scale(concepts.scale_for(encoder.SCALE), scores[Split.TRAIN], context.n_classes)
        rows = {split: score_rows(scale.transform(scores[split])) for split in context.data.splits}
    described = replace(context, data=_with_rows(context, scale.scale, kept, rows))
    return described, ScoredConcepts(named=named, kept=kept, dropped=dropped, scale=scale.scale, scores=scores)


def plan_concepts(
    context: RunContext, concepts: Concepts, encoder: ImageTextEncoder, *, accepting: bool
) -> Dialogue[RunContext]:
    """Ask for concepts as a run does, for a plan. No image is scored.

    Args:
        context: What the stages of the run share; its rows are images.
        concepts: The configured concepts.
        encoder: The configured feature extractor.
        accepting: Whether a guessed response is usable at once, or only the second one.

    Returns:
        A context for the stages that make programs. Filters of an earlier run with the same concepts apply; without
        one, all concepts are assumed to pass.

    """
    named = yield from concepts.dialogue(context, assuming_parser(accepting=accepting))
    kept = named.concepts
    if encoder.is_local() and (
        entry := context.cache.get("concept_scores", _key(context, concepts, encoder, named.concepts))
    ):
        kept, _ = _read_kept(entry, named.concepts)
    rows = {split: ["[]"] * len(context.data.texts(split)) for split in context.data.splits}
    return replace(context, data=_with_rows(context, concepts.scale_for(encoder.SCALE), kept, rows))


def _key(context: RunContext, concepts: Concepts, encoder: ImageTextEncoder, named: ConceptSet) -> dict[str, object]:
    data = context.data
    return {
        "encoder": encoder.key(),
        "images": {split.value: data.texts_key(split) for split in data.splits},
        "concepts": [[concept.name, *concept.descriptions] for concept in named.concepts],
        "classes": data.task.classes,
        "filters": concepts.filters(encoder.MAX_SIMILARITY),
    }


def _score(
    directory: Path,
    context: RunContext,
    concepts: Concepts,
    encoder: ImageTextEncoder,
    named: ConceptSet,
    features: Mapping[Split, FloatArray],
) -> None:
    """Write the scores of the concepts that pass the filters, and which they are."""
    vectors = encoder.encode_texts(named.descriptions)
    kept, dropped = filter_concepts(
        named,
        concepts.filters(encoder.MAX_SIMILARITY),
        description_vectors=vectors,
        class_vectors=encoder.encode_texts(context.data.task.classes),
        train_scores=features[Split.TRAIN] @ vectors.T,
    )
    # Each concept has a description, and so a column of scores, for each class.
    of_concepts = np.repeat([concept in kept.concepts for concept in named.concepts], context.n_classes)
    for split in context.data.splits:
        np.save(directory / f"{split}.npy", features[split] @ vectors[of_concepts].T)
    reasons = {one.concept.name: one.reason for one in dropped}
    write_json(directory / "filtered.json", {"dropped": reasons})


def _read_kept(entry: Path, named: ConceptSet) -> tuple[ConceptSet, tuple[DroppedConcept, ...]]:
    """Return the kept and the dropped concepts of a cache entry."""
    reasons: dict[str, str] = read_json(entry / "filtered.json", what="the filtered concepts")["dropped"]
    kept = ConceptSet(concepts=tuple(concept for concept in named.concepts if concept.name not in reasons))
    return kept, tuple(
        DroppedConcept(concept=concept, reason=reasons[concept.name])
        for concept in named.concepts
        if concept.name in reasons
    )


def _with_rows(
    context: RunContext, scale: ScoreScale, kept: ConceptSet, rows: Mapping[Split, Sequence[str]]
) -> TextData:
    """Return the dataset with other rows, and a task that describes them."""
    data = context.data
    kind = ScoreRows()
    table = type(data.table)(
        {split.value: type(data.table[split]).from_dict({TEXT: list(rows[split])}) for split in data.splits}
    )
    task = replace(
        data.task,
        description=context.prompts.score_description(data.task, kept.descriptions, scale.value),
        parameter=kind.parameter,
        annotation=kind.annotation,
    )
    return replace(data, task=task, table=table, kind=kind, other_columns={})
