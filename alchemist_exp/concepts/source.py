"""The concepts group: where the concepts of images are from, and how programs receive their scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.concepts.filters import ConceptFilters, DroppedConcept
from alchemist_exp.concepts.parsing import parse_concepts, read_concepts
from alchemist_exp.concepts.scales import ScoreScale, fit_scale
from alchemist_exp.concepts.types import Concept, ConceptSet
from alchemist_exp.context import RunContext
from alchemist_exp.core.atomic_io import read_prefix, resolve_user_path
from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.hashing import bytes_fingerprint
from alchemist_exp.core.reasoning import without_reasoning
from alchemist_exp.core.task import Task
from alchemist_exp.core.types import FloatArray, Split
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch
from alchemist_exp.llm.types import FinishReason, LLMCall

RESPONSE_TOKENS: Final = 350
"""The expected length of a response with concepts, for plans: the recorded ones have 120 and 430 tokens."""

_FILE_KEY: Final = "concepts.file"
_ASSUMED_CONCEPTS: Final = 8
_MAX_BYTES: Final = 400_004

Parse = Callable[[str, Sequence[str]], ConceptSet]
"""Reads concepts from a response, for the given classes; raises ValueError with the reason."""


@dataclass(frozen=True, kw_only=True)
class NamedConcepts:
    """Concepts and where they are from.

    Attributes:
        concepts: The concepts.
        source: "LLM", or the path of the user's file.
        calls: The LLM calls.

    """

    concepts: ConceptSet
    source: str
    calls: tuple[LLMCall, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredConcepts:
    """The concepts of a run and their scores.

    Attributes:
        named: The concepts that were named, and where they are from.
        kept: Those that passed the filters.
        dropped: The others, with the reason.
        scale: The scale of the scores that programs receive.
        scores: By split, float32 array of shape (n_rows, n_descriptions): the cosine of each image and each description
            of `kept`.

    """

    named: NamedConcepts
    kept: ConceptSet
    dropped: tuple[DroppedConcept, ...]
    scale: ScoreScale
    scores: Mapping[Split, FloatArray]

    def program_scores(self, split: Split) -> npt.NDArray[np.float64]:
        """Return the scores of a split on the run's scale, as programs receive them.

        Args:
            split: The split.

        Returns:
            Array of the shape of `scores[split]`.

        """
        n_classes = len(self.kept.concepts[0].descriptions)
        return fit_scale(self.scale, self.scores[Split.TRAIN], n_classes).transform(self.scores[split])


@component("concepts", "concepts")
@dataclass(kw_only=True)
class Concepts(Component):
    """The concepts of image datasets, named by the LLM or by the user.

    Attributes:
        use: Whether programs receive concept scores; if not, they receive pixels.
        file: A file with the user's concepts; None to ask the LLM.
        scale: The scale of the scores; None for the encoder's `SCALE`.
        max_characters: See `ConceptFilters`.
        max_class_similarity: See `ConceptFilters`; None for the encoder's `MAX_SIMILARITY`.
        max_concept_similarity: See `ConceptFilters`; None for the encoder's `MAX_SIMILARITY`.
        min_activity: See `ConceptFilters`.

    """

    use: bool = MISSING
    file: str | None = MISSING
    scale: ScoreScale | None = MISSING
    max_characters: int = MISSING
    max_class_similarity: float | None = MISSING
    max_concept_similarity: float | None = MISSING
    min_activity: float = MISSING

    def __post_init__(self) -> None:
        """Check the thresholds.

        Raises:
            ConfigError: One is out of range.

        """
        _ = self.filters(max_similarity=1.0)

    def filters(self, max_similarity: float) -> ConceptFilters:
        """Return the thresholds of the filters.

        Args:
            max_similarity: The encoder's, for thresholds that are not set.

        Returns:
            The thresholds.

        """
        of_class, of_concept = self.max_class_similarity, self.max_concept_similarity
        return ConceptFilters(
            max_characters=self.max_characters,
            max_class_similarity=max_similarity if of_class is None else of_class,
            max_concept_similarity=max_similarity if of_concept is None else of_concept,
            min_activity=self.min_activity,
        )

    def scale_for(self, measured: str) -> ScoreScale:
        """Return the configured scale, or the one that was measured for the encoder.

        Args:
            measured: The encoder's `SCALE`.

        Returns:
            The scale.

        """
        return ScoreScale[measured] if self.scale is None else self.scale

    def check(self) -> None:
        """Check that the user's file can be read.

        Raises:
            ConfigError: It cannot.

        """
        self.cache_key()

    def cache_key(self) -> dict[str, object]:
        """Return all values; the file's content instead of its path."""
        return super().cache_key() | {"file": None if self._file is None else self._file.fingerprint()}

    def dialogue(self, context: RunContext, parse: Parse = parse_concepts) -> Dialogue[NamedConcepts]:
        """Read the user's file, or ask the LLM; an unusable response is sent back once.

        Args:
            context: What the stages of the run share.
            parse: Reads a response; a plan assumes concepts, see `assuming_parser`.

        Returns:
            The concepts.

        Raises:
            ConfigError: The user's file has no usable concepts.
            LLMError: The LLM's second response has none either.

        """
        if self._file is not None:
            return NamedConcepts(concepts=self._file.read(context.data.task), source=self._file.path)
        request = context.prompts.concept_request(context.data.task)
        return (yield from ask_for_concepts(context, request, "concepts", file_key=_FILE_KEY, parse=parse))

    def check_file(self, task: Task) -> None:
        """Check that the user's file has usable concepts.

        Args:
            task: Has the classes.

        Raises:
            ConfigError: It has none, or does not exist.

        """
        if self._file is not None:
            self._file.read(task)

    @property
    def _file(self) -> "ConceptFile | None":
        return None if self.file is None else ConceptFile(path=self.file, key=_FILE_KEY)


@dataclass(frozen=True, kw_only=True)
class ConceptFile:
    """A user's file of concepts.

    Attributes:
        path: The path as the user wrote it.
        key: The configuration key with the path, for messages.

    """

    path: str
    key: str

    def read(self, task: Task) -> ConceptSet:
        """Return the concepts.

        Args:
            task: Has the classes.

        Returns:
            The concepts, in the order of the file.

        Raises:
            ConfigError: There is no file, or it has no usable concepts.

        """
        return read_concepts(resolve_user_path(self.path, self.key), self.key, task.classes)

    def fingerprint(self) -> str:
        """Return a fingerprint of the content.

        Raises:
            ConfigError: The file cannot be read.

        """
        try:
            return bytes_fingerprint(read_prefix(resolve_user_path(self.path, self.key), _MAX_BYTES))
        except OSError as error:
            raise ConfigError(f"{self.key} is {self.path!r}, which cannot be read: {error.strerror}.") from error


def ask_for_concepts(
    context: RunContext, request: str, what: str, *, file_key: str, parse: Parse = parse_concepts
) -> Dialogue[NamedConcepts]:
    """Ask the LLM for concepts; an unusable response is sent back once.

    Args:
        context: What the stages of the run share.
        request: The prompt.
        what: What is asked for, in the plural, for progress and messages.
        file_key: The configuration key of a file that makes the LLM unnecessary, for messages.
        parse: Reads a response; a plan assumes concepts, see `assuming_parser`.

    Returns:
        The concepts.

    Raises:
        LLMError: The second response is not usable either.

    """
    task, prompts, system = context.data.task, context.prompts, context.prompts.supplement_system
    requests = [context.llm.request(system, request)]
    calls: list[LLMCall] = []
    reason = ""
    for attempt in (f"asking for {what}", f"asking for usable {what}"):
        calls += yield RequestBatch(description=attempt, requests=requests, response_tokens=RESPONSE_TOKENS)
        response = calls[-1].response
        text = without_reasoning(response.text)
        try:
            if response.finish_reason is not FinishReason.COMPLETE:
                raise ValueError(f"the response is {response.finish_reason}")
            return NamedConcepts(concepts=parse(text, task.classes), source="LLM", calls=tuple(calls))
        except ValueError as error:
            reason = str(error)
        repair = prompts.concept_repair_request(task, request, text, reason)
        requests = [context.llm.request(system, repair)]
    raise LLMError(
        f"the LLM named no usable {what} in two responses ({reason}); use another llm.model, or write the {what} "
        f"yourself: {file_key}=FILE."
    )


def assuming_parser(*, accepting: bool) -> Parse:
    """Return a parser for one dialogue of a plan, see `assume_concepts`.

    Args:
        accepting: Whether a guessed first response is usable, or only the second one.

    Returns:
        The parser.

    """
    n_parsed = 0

    def parse(text: str, classes: Sequence[str]) -> ConceptSet:
        """Parse the first response strictly, unless guesses are accepted, and each later one for a plan."""
        nonlocal n_parsed
        n_parsed += 1
        first = n_parsed == 1
        # A guessed response has no concepts, so the strict parser refuses it; a cached one may have some.
        return parse_concepts(text, classes) if first and not accepting else assume_concepts(text, classes)

    return parse


def assume_concepts(text: str, classes: Sequence[str]) -> ConceptSet:
    """Read a response for a plan: where it is a guess, assume a usual number of concepts.

    Args:
        text: A cached or a guessed response.
        classes: The class names.

    Returns:
        The concepts of the response, or assumed ones.

    """
    try:
        return parse_concepts(text, classes)
    except ValueError:
        assumed = [f"concept {number}" for number in range(_ASSUMED_CONCEPTS)]
        return ConceptSet(
            concepts=tuple(
                Concept(name=name, descriptions=tuple(f"The {name} that is typical of {c}, in words" for c in classes))
                for name in assumed
            )
        )
