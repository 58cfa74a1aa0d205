"""RoboShot (Adila et al., ICLR 2024): zero-shot classification of images with corrected image vectors.

An LLM names spurious differences of the classes, such as the background, and helpful ones, the concepts. Two
descriptions of a difference give a direction in the space of the image-text encoder. The part of an image along
spurious directions is removed, and the part along helpful ones is added once more. Then the image gets the class of the
closest prompt.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.concepts.parsing import parse_concepts
from alchemist_exp.concepts.scales import ScoreScale
from alchemist_exp.concepts.source import (
    ConceptFile,
    NamedConcepts,
    Parse,
    ScoredConcepts,
    ask_for_concepts,
    assuming_parser,
)
from alchemist_exp.concepts.types import Concept, ConceptSet
from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import FloatArray
from alchemist_exp.llm.dialogue import Dialogue, interleave, run_dialogue
from alchemist_exp.methods.base import SoftLabelMethod
from alchemist_exp.methods.clip import CLASS, check_prompt, encoder_of, label_by_scores
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.trials import AssumedTrials, ProgramTrials
from alchemist_exp.prompts.filling import fill
from alchemist_exp.supplements.base import Supplement

_Array = npt.NDArray[np.float64]

HELPFUL, SPURIOUS = "helpful", "spurious"
_FILE_KEYS: Final = {HELPFUL: "helpful_file", SPURIOUS: "spurious_file"}

_MIN_LENGTH: Final = 1e-4
"""Shortest difference of two vectors of length 1 that has a direction; texts that differ have 0.01 and more."""

_MIN_SINGULAR_VALUE: Final = 1e-4
"""Directions whose singular value, relative to the largest one, is below this depend on the others."""

MAX_SHARE: Final = 0.5
"""Removed share of the direction between class prompts from which on there is a note."""


def directions(descriptions: FloatArray) -> _Array:
    """Return the directions from one class to another, for all pairs of classes of each concept.

    Args:
        descriptions: Array of shape (n_concepts, n_classes, n_dimensions): vectors of the concepts' descriptions.

    Returns:
        float64 array of shape (n_directions, n_dimensions); each row has length 1. Pairs of equal vectors have none.

    Example:
        >>> directions(np.array([[[3.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])).tolist()
        [[1.0, 0.0]]

    """
    vectors = np.asarray(descriptions, dtype=np.float64)
    pairs = list(combinations(range(vectors.shape[1]), 2))
    differences = np.stack([vectors[:, a] - vectors[:, b] for a, b in pairs], axis=1).reshape(-1, vectors.shape[2])
    lengths = np.linalg.norm(differences, axis=1, keepdims=True)
    found: _Array = (differences / np.maximum(lengths, _MIN_LENGTH))[lengths[:, 0] > _MIN_LENGTH]
    return found


def orthonormal_basis(vectors: _Array) -> _Array:
    """Return an orthonormal basis of the space that vectors span.

    The directions of three classes depend on each other, so a plain QR decomposition would add arbitrary vectors.

    Args:
        vectors: Array of shape (n_vectors, n_dimensions).

    Returns:
        float64 array of shape (rank, n_dimensions).

    Example:
        >>> orthonormal_basis(np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])).shape
        (2, 3)

    """
    if not len(vectors):
        return vectors
    _, singular_values, basis = np.linalg.svd(vectors, full_matrices=False)
    spanned: _Array = basis[singular_values > _MIN_SINGULAR_VALUE * singular_values[0]]
    return spanned


def correct_vectors(images: FloatArray, remove: _Array, increase: _Array) -> _Array:
    """Remove the part of images along some directions, then add the part along others once more.

    Args:
        images: Array of shape (n_rows, n_dimensions): vectors of images.
        remove: Orthonormal basis of the removed directions, array of shape (n_removed, n_dimensions).
        increase: Orthonormal basis of the increased directions, array of shape (n_increased, n_dimensions).

    Returns:
        float64 array of shape (n_rows, n_dimensions); each row has length 1.

    Raises:
        ConfigError: Nothing of an image is left.

    Example:
        >>> axes = np.eye(3)
        >>> correct_vectors(np.array([[0.8, 0.3, 0.8]]), axes[:1], axes[1:2]).round(3).tolist()
        [[0.0, 0.6, 0.8]]

    """
    vectors = np.asarray(images, dtype=np.float64)
    vectors = vectors - vectors @ remove.T @ remove
    vectors = vectors + vectors @ increase.T @ increase
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (lengths > _MIN_LENGTH).all():
        raise ConfigError(
            f"the {len(remove)} spurious directions leave nothing of an image, whose vector has {vectors.shape[1]} "
            "dimensions; name fewer differences with method.spurious_file=FILE, or use method.remove=false."
        )
    corrected: _Array = vectors / lengths
    return corrected


def removed_share(prompts: FloatArray, remove: _Array) -> float:
    """Return how much of what tells the class prompts apart is removed from images.

    Args:
        prompts: Array of shape (n_classes, n_dimensions): vectors of the class prompts.
        remove: Orthonormal basis of the removed directions, array of shape (n_removed, n_dimensions).

    Returns:
        The share of the squared length of the directions between class prompts that is along removed directions, mean
        over the pairs of classes; from 0 to 1.

    """
    between = directions(prompts[np.newaxis])
    return float(np.square(between @ remove.T).sum() / max(len(between), 1))


@component("method", "roboshot")
@dataclass(kw_only=True)
class RoboShotMethod(SoftLabelMethod):
    """Zero-shot classification of images whose vectors are corrected by what an LLM names.

    Attributes:
        class_prompt: The prompt; [class] is replaced by the name of a class.
        remove: Whether the spurious directions are removed.
        increase: Whether the helpful directions are increased.
        spurious_file: A file with the spurious differences; None to ask the LLM.
        helpful_file: A file with the helpful concepts; None to ask the LLM.

    """

    uses = ("llm", "prompt")
    labels_texts = False
    class_prompt: str = MISSING
    remove: bool = MISSING
    increase: bool = MISSING
    spurious_file: str | None = MISSING
    helpful_file: str | None = MISSING

    def __post_init__(self) -> None:
        """Check the prompt.

        Raises:
            ConfigError: It names no class.

        """
        check_prompt("class_prompt", self.class_prompt, (CLASS,))

    @property
    def used_groups(self) -> tuple[str, ...]:
        """The groups of `uses`; none where no LLM is asked."""
        return self.uses if any(file is None for _, file in self._parts()) else ()

    def check(self) -> None:
        """Check that the files can be read.

        Raises:
            ConfigError: One cannot.

        """
        self.cache_key()

    def cache_key(self) -> dict[str, object]:
        """Return all values; the content of the files instead of their paths."""
        files = {_FILE_KEYS[what]: file.fingerprint() for what, file in self._parts() if file is not None}
        return super().cache_key() | {key: files.get(key) for key in _FILE_KEYS.values()}

    def _parts(self) -> Iterator[tuple[str, ConceptFile | None]]:
        """Yield what is named, each with the user's file."""
        for what, wanted in ((HELPFUL, self.increase), (SPURIOUS, self.remove)):
            if wanted:
                path: str | None = getattr(self, _FILE_KEYS[what])
                yield what, None if path is None else ConceptFile(path=path, key=f"method.{_FILE_KEYS[what]}")

    def dialogue(
        self, context: RunContext, trials: ProgramTrials, supplement: Supplement, repair: Repair
    ) -> Dialogue[dict[str, NamedConcepts]]:
        """Ask what a run asks, and assume concepts where a response is guessed."""
        accepting = not isinstance(trials, AssumedTrials) or trials.usable_concepts
        return self._named(context, {what: assuming_parser(accepting=accepting) for what in _FILE_KEYS})

    def _named(self, context: RunContext, parse: dict[str, Parse]) -> Dialogue[dict[str, NamedConcepts]]:
        """Ask for the helpful concepts and the spurious differences at the same time."""
        parts = dict(self._parts())
        found = yield from interleave([self._ask(context, what, file, parse[what]) for what, file in parts.items()])
        return dict(zip(parts, found, strict=True))

    def _ask(self, context: RunContext, what: str, file: ConceptFile | None, parse: Parse) -> Dialogue[NamedConcepts]:
        task = context.data.task
        if file is not None:
            return NamedConcepts(concepts=file.read(task), source=file.path)
        named, request = "helpful concepts", context.prompts.concept_request(task)
        if what == SPURIOUS:
            named, request = "spurious differences", context.prompts.spurious_request(task)
        return (
            yield from ask_for_concepts(context, request, named, file_key=f"method.{_FILE_KEYS[what]}", parse=parse)
        )

    def label(self, context: RunContext) -> LabelingResult:
        """Label every row of every split.

        Args:
            context: What the stages of the run share.

        Returns:
            The soft labels; and what was named, with the scores of the descriptions before the correction.

        Raises:
            AlchemistError: The LLM named nothing usable, or nothing of an image is left.

        """
        named = run_dialogue(self._named(context, dict.fromkeys(_FILE_KEYS, parse_concepts)), context.answer)
        features, encoder, classes = context.features(), encoder_of(context), context.data.task.classes
        with context.progress.stage("concepts", "correcting image vectors"):
            texts = {what: encoder.encode_texts(one.concepts.descriptions) for what, one in named.items()}
            n_dimensions = features[next(iter(features))].shape[1]
            basis = dict.fromkeys(_FILE_KEYS, np.zeros((0, n_dimensions)))
            for what, vectors in texts.items():
                basis[what] = orthonormal_basis(directions(vectors.reshape(-1, len(classes), n_dimensions)))
            prompts = encoder.encode_texts([fill(self.class_prompt, {CLASS: name}) for name in classes])
            scores = {
                split: correct_vectors(rows, basis[SPURIOUS], basis[HELPFUL]) @ prompts.T
                for split, rows in features.items()
            }
        concepts, notes = None, []
        if (share := removed_share(prompts, basis[SPURIOUS])) > MAX_SHARE:
            notes.append(
                f"{self.name}: the {len(basis[SPURIOUS])} removed directions contain {share:.0%} of the direction "
                "between the class prompts, so the labels may be worse than without removal; name fewer differences "
                "with method.spurious_file=FILE, or compare with method.remove=false."
            )
        if named:
            together = _together(named)
            of_texts = np.concatenate([*texts.values()])
            concepts = ScoredConcepts(
                named=together,
                kept=together.concepts,
                dropped=(),
                scale=ScoreScale.raw,
                scores={split: rows @ of_texts.T for split, rows in features.items()},
            )
        return replace(
            label_by_scores(self.name, scores),
            calls=tuple(call for one in named.values() for call in one.calls),
            concepts=concepts,
            notes=tuple(notes),
        )


def _together(named: dict[str, NamedConcepts]) -> NamedConcepts:
    """Return all concepts for the record, each named with what it is for."""
    concepts = tuple(
        Concept(name=f"{what}: {concept.name}", descriptions=concept.descriptions)
        for what, one in named.items()
        for concept in one.concepts.concepts
    )
    sources = {what: one.source for what, one in named.items()}
    different = len({*sources.values()}) > 1
    listed = [f"{source} ({what})" if different else source for what, source in sources.items()]
    return NamedConcepts(concepts=ConceptSet(concepts=concepts), source=", ".join(dict.fromkeys(listed)))
