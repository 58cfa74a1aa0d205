"""Exemplars of each class: written by the LLM or the user, or labeled rows of the data (paper, Section 3.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import FloatArray, IntArray, Split
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch
from alchemist_exp.llm.types import FinishReason
from alchemist_exp.programs.extract import extract_source
from alchemist_exp.programs.generation import RESPONSE_TOKENS
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.programs.types import Program
from alchemist_exp.prompts.filling import MAX_EXEMPLAR_CHARACTERS
from alchemist_exp.supplements.base import ResolvedSupplement, TextOrigin
from alchemist_exp.supplements.written import WrittenSupplement


class ExemplarSource(StrEnum):
    """Where the exemplars are from. Members are in lower case because a configuration names them."""

    llm = "llm"
    data = "data"


class ExemplarSampling(StrEnum):
    """How rows are sampled from the data. Members are in lower case because a configuration names them."""

    random = "random"
    diverse = "diverse"
    uncertain = "uncertain"


@component("supplement", "exemplars")
@dataclass(kw_only=True)
class ExemplarSupplement(WrittenSupplement):
    """Exemplars of each class: a written supplement, or with `source` data, labeled rows.

    Attributes:
        source: Who gives the exemplars.
        split: The split whose labeled rows are shown.
        per_class: Rows of each class.
        sampling: How rows are sampled; None is the same as random.
        first_programs: Programs asked for to find uncertain rows.
        seed: Seed of the sampling.

    """

    source: ExemplarSource = MISSING
    split: str = MISSING
    per_class: int = MISSING
    sampling: ExemplarSampling | None = MISSING
    first_programs: int = MISSING
    seed: int = MISSING

    def __post_init__(self) -> None:
        """Refuse test rows, numbers out of range, and values that exclude each other."""
        super().__post_init__()
        if self.split not in (Split.TRAIN, Split.VALID):
            raise ConfigError(
                f"supplement.split is {self.split!r}; expected train or valid: test rows are never shown to the LLM."
            )
        for key, least, most in (("per_class", 1, 50), ("first_programs", 3, 100), ("seed", 0, 2**32)):
            if not least <= getattr(self, key) <= most:
                raise ConfigError(f"supplement.{key} is {getattr(self, key)}; expected {least} to {most}.")
        if self.sampling is not None and self.source is ExemplarSource.llm:
            raise ConfigError(f"supplement.sampling={self.sampling} needs supplement.source=data, too.")
        if self.source is ExemplarSource.data and not (self.text is None and self.file is None):
            raise ConfigError(
                "supplement.source is data, and supplement.text or supplement.file is given too; leave one of them out."
            )

    @property
    def needs_gold(self) -> bool:
        """Whether rows of the data are shown with their labels."""
        return self.source is ExemplarSource.data

    def resolve(self, context: RunContext, trials: ProgramTrials) -> Dialogue[ResolvedSupplement]:
        """Return labeled rows; uncertain rows need LLM calls for the first programs."""
        if self.source is ExemplarSource.llm:
            return (yield from super().resolve(context, trials))
        split, rng = Split(self.split), np.random.default_rng(self.seed)
        if not context.gold.available(split):
            raise ConfigError(f"supplement.source is data, and {split} has no labels; use supplement.source=llm.")
        gold = context.gold.labels[split]
        if self.sampling is ExemplarSampling.uncertain:
            llm, prompt = context.llm, context.prompts.program_request(context.data.task)
            n_programs = self.first_programs
            requests = [llm.request(context.prompts.program_system, prompt, sample=n) for n in range(n_programs)]
            calls = yield RequestBatch(
                description="asking for first programs", requests=requests, response_tokens=RESPONSE_TOKENS
            )
            responses = [call.response for call in calls if call.response.finish_reason is FinishReason.COMPLETE]
            # Different programs, not vetted.
            sources = dict.fromkeys(source for one in responses if (source := extract_source(one.text)))
            programs = [Program(source=source, origin=f"first {n}") for n, source in enumerate(sources)]
            rows = sample_uncertain(trials.uncertainty(programs, split), gold, self.per_class)
        elif self.sampling is ExemplarSampling.diverse:
            rows = sample_diverse(trials.features(split), gold, self.per_class, rng)
        else:
            rows = sample_random(gold, self.per_class, rng)
        # Rows are drawn class by class, so the labels of the whole split are used, not only those of the shown rows.
        purpose = f"exemplars, {len(rows)} rows shown to the LLM"
        context.gold.use(split, purpose)
        texts, numbers = context.data.texts(split), context.data.rows_of_input(split)
        shown = [(context.data.kind.show(texts[row], MAX_EXEMPLAR_CHARACTERS), int(gold[row])) for row in rows]
        return ResolvedSupplement(
            strategy=self.strategy,
            text=context.prompts.exemplar_supplement(context.data.task, shown),
            text_origin=TextOrigin.DATA,
            sources=tuple(f"{split}, row {numbers[row]}" for row in rows),
            gold_used=(f"{split}: {purpose}",),
        )


def sample_random(gold: IntArray, per_class: int, rng: np.random.Generator) -> list[int]:
    """Sample rows of each class without replacement.

    Args:
        gold: int64 array of shape (n_rows,), the labels.
        per_class: Rows of each class; a class that has fewer gives all of its rows.
        rng: The random generator.

    Returns:
        Row numbers, class by class.

    """
    return _per_class(gold, lambda rows: rng.permutation(rows)[:per_class].tolist())


def sample_diverse(features: FloatArray, gold: IntArray, per_class: int, rng: np.random.Generator) -> list[int]:
    """Sample rows of each class that are far apart: farthest-first traversal (Gonzalez, 1985) from a random row.

    Args:
        features: float32 array of shape (n_rows, n_features).
        gold: int64 array of shape (n_rows,), the labels.
        per_class: Rows of each class; a class that has fewer gives all of its rows.
        rng: The random generator, which chooses the first row of each class.

    Returns:
        Row numbers, class by class.

    """

    def farthest_first(rows: IntArray) -> list[int]:
        """Return up to `per_class` of `rows`, each time the one farthest from those chosen."""
        chosen = [int(rng.integers(len(rows)))]
        nearest = np.full(len(rows), np.inf)
        while len(chosen) < min(per_class, len(rows)):
            nearest = np.minimum(nearest, ((features[rows] - features[rows[chosen[-1]]]) ** 2).sum(axis=1))
            nearest[chosen] = -np.inf
            chosen.append(int(nearest.argmax()))
        return [int(row) for row in rows[chosen]]

    return _per_class(gold, farthest_first)


def sample_uncertain(entropy: FloatArray, gold: IntArray, per_class: int) -> list[int]:
    """Take the rows of each class whose labels are least certain.

    Args:
        entropy: float32 array of shape (n_rows,), the entropy of each row's label.
        gold: int64 array of shape (n_rows,), the labels.
        per_class: Rows of each class; a class that has fewer gives all of its rows.

    Returns:
        Row numbers, class by class; of equal entropies the first row.

    """
    return _per_class(gold, lambda rows: rows[np.argsort(-entropy[rows], kind="stable")[:per_class]].tolist())


def _per_class(gold: IntArray, sample: Callable[[IntArray], Sequence[int]]) -> list[int]:
    return [row for label in np.unique(gold) for row in sample(np.flatnonzero(gold == label))]
