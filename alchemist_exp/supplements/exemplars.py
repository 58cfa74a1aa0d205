"""Exemplars of each class: in words, or drawn from labeled rows of the data (paper, Section 3.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import FloatArray, IntArray, Split
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch
from alchemist_exp.llm.types import FinishReason
from alchemist_exp.programs.extract import extract_source
from alchemist_exp.programs.types import Program
from alchemist_exp.prompts import programs as program_prompts
from alchemist_exp.prompts import supplement as prompts
from alchemist_exp.supplements.base import Desk, ResolvedSupplement, TextOrigin
from alchemist_exp.supplements.written import RESPONSE_TOKENS, WrittenSupplement


class ExemplarSource(StrEnum):
    """Who gives the exemplars. In lower case because a configuration names them."""

    llm = "llm"
    data = "data"


class ExemplarSampling(StrEnum):
    """How rows are drawn from the data. In lower case because a configuration names them."""

    random = "random"
    diverse = "diverse"
    uncertain = "uncertain"


@component("supplement", "exemplars")
@dataclass(kw_only=True)
class ExemplarSupplement(WrittenSupplement):
    """`per_class` rows of each class from the labeled rows of `split`, where `source` is the data."""

    source: ExemplarSource = MISSING
    split: str = MISSING
    per_class: int = MISSING
    sampling: ExemplarSampling | None = MISSING
    first_programs: int = MISSING
    seed: int = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split not in (Split.TRAIN, Split.VALID):
            raise ConfigError(
                f"supplement.split is {self.split!r}; train or valid is needed: what scores are taken on is not shown."
            )
        for key, least, most in (("per_class", 1, 50), ("first_programs", 3, 100), ("seed", 0, 2**32)):
            if not least <= getattr(self, key) <= most:
                raise ConfigError(f"supplement.{key} is {getattr(self, key)}; {least} to {most} will do.")
        if self.sampling is not None and self.source is ExemplarSource.llm:
            raise ConfigError(f"supplement.sampling={self.sampling} needs supplement.source=data, too.")
        if self.source is ExemplarSource.data and not (self.text is None and self.file is None):
            raise ConfigError("supplement.source is data, and words of your own are given too; leave one of them out.")

    @property
    def needs_gold(self) -> bool:
        """Where rows of the data are shown with their classes."""
        return self.source is ExemplarSource.data

    def script(self, desk: Desk) -> Dialogue[ResolvedSupplement]:
        """As a written supplement; by uncertainty, the first programs are asked for."""
        if self.source is ExemplarSource.llm:
            return (yield from super().script(desk))
        split = Split(self.split)
        gold = desk.gold.get(split)
        if gold is None:
            raise ConfigError(f"supplement.source is data, and {split} has no labels; use supplement.source=llm.")
        if self.sampling is ExemplarSampling.uncertain:
            programs = yield from self._first_programs(desk)
            rows = uncertain(desk.trials.uncertainty(programs, split), gold, self.per_class)
        elif self.sampling is ExemplarSampling.diverse:
            rows = diverse(desk.trials.features(split), gold, self.per_class, np.random.default_rng(self.seed))
        else:
            rows = random(gold, self.per_class, np.random.default_rng(self.seed))
        texts = desk.data.texts(split)
        return ResolvedSupplement(
            strategy=self.strategy,
            text=prompts.exemplars(desk.data.task, [(texts[row], int(gold[row])) for row in rows]),
            written_by=TextOrigin.DATA,
            sources=tuple(f"{split}, row {row}" for row in rows),
            gold_used=(f"{split}: exemplars ({len(rows)} rows)",),
        )

    def _first_programs(self, desk: Desk) -> Dialogue[list[Program]]:
        """The accepted programs of the general prompt."""
        llm, prompt = desk.llm, program_prompts.program_prompt(desk.data.task)
        requests = [llm.request(program_prompts.SYSTEM, prompt, sample=n) for n in range(self.first_programs)]
        replies = yield RequestBatch(
            description="asking for first programs", requests=requests, response_tokens=RESPONSE_TOKENS
        )
        complete = [reply.response.text for reply in replies if reply.response.finish_reason is FinishReason.COMPLETE]
        sources = dict.fromkeys(source for text in complete if (source := extract_source(text)))
        return [Program(source=source, origin=f"first {n}") for n, source in enumerate(sources)]


def random(gold: IntArray, per_class: int, rng: np.random.Generator) -> list[int]:
    """Rows of each class in turn, drawn without replacement; all of a class that has fewer. gold: (n,)."""
    return _of_each_class(gold, lambda rows: rng.permutation(rows)[:per_class].tolist())


def diverse(features: FloatArray, gold: IntArray, per_class: int, rng: np.random.Generator) -> list[int]:
    """Of each class a row by chance, then each time the one farthest from all that are taken. features: (n, d)."""

    def farthest_first(rows: IntArray) -> list[int]:
        chosen = [int(rng.integers(len(rows)))]
        nearest = np.full(len(rows), np.inf)
        while len(chosen) < min(per_class, len(rows)):
            nearest = np.minimum(nearest, ((features[rows] - features[rows[chosen[-1]]]) ** 2).sum(axis=1))
            nearest[chosen] = -np.inf
            chosen.append(int(nearest.argmax()))
        return [int(row) for row in rows[chosen]]

    return _of_each_class(gold, farthest_first)


def uncertain(entropy: FloatArray, gold: IntArray, per_class: int) -> list[int]:
    """The rows of each class that are least sure; the first of equals. entropy: (n,)."""
    return _of_each_class(gold, lambda rows: rows[np.argsort(-entropy[rows], kind="stable")[:per_class]].tolist())


def _of_each_class(gold: IntArray, draw: Callable[[IntArray], Sequence[int]]) -> list[int]:
    return [row for label in np.unique(gold) for row in draw(np.flatnonzero(gold == label))]
