"""The paper's method: an LLM writes programs (Section 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch, interleave, run_dialogue
from alchemist_exp.llm.types import FinishReason, LLMCall
from alchemist_exp.methods.base import ProgramMethod
from alchemist_exp.methods.types import GeneratedPrograms
from alchemist_exp.programs.generation import ProgramWriter
from alchemist_exp.programs.repair import Repair, RowRedactor
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.programs.types import Rejected, RejectionStage
from alchemist_exp.supplements.base import Supplement

MAX_PROGRAMS: Final = 10_000
"""Programs of a strategy; a larger number is a typing error, and its requests would fill the memory."""

_WITHOUT_SIGNAL: Final = frozenset(
    {
        *(RejectionStage.NO_VOTE, RejectionStage.CONSTANT, RejectionStage.COVERAGE, RejectionStage.SAME_VOTES),
        RejectionStage.BELOW_CHANCE,
    }
)
"""Why programs are rejected that run without an error."""


@component("method", "alchemist")
@dataclass(kw_only=True)
class AlchemistMethod(ProgramMethod):
    """An LLM writes `n_programs` programs for each strategy.

    Attributes:
        n_programs: Programs of each strategy.
        performance_hint: Whether the prompt says how to write a program that runs fast.

    """

    uses = ("llm", "prompt", "supplement", "repair", *ProgramMethod.uses)
    advice_for_more_programs = "raise method.n_programs"
    reads_scores = True
    supports_multi_label = True
    n_programs: int = MISSING
    performance_hint: bool = MISSING

    def __post_init__(self) -> None:
        """Refuse an `n_programs` outside 1 to `MAX_PROGRAMS`."""
        if not 1 <= self.n_programs <= MAX_PROGRAMS:
            raise ConfigError(
                f"method.n_programs is {self.n_programs}; expected 1 or more, at most {MAX_PROGRAMS} programs."
            )

    def dialogue(
        self, context: RunContext, trials: ProgramTrials, supplement: Supplement, repair: Repair
    ) -> Dialogue[GeneratedPrograms]:
        """Ask for the supplements and then for programs, all strategies at the same time."""
        redactor = RowRedactor(context.data)
        strategies = [self._strategy(context, trials, member, repair, redactor) for member in supplement.members()]
        parts = yield from interleave(strategies)
        return GeneratedPrograms(
            candidates=tuple(candidate for part in parts for candidate in part.candidates),
            supplements=tuple(resolved for part in parts for resolved in part.supplements),
        )

    def _strategy(
        self,
        context: RunContext,
        trials: ProgramTrials,
        supplement: Supplement,
        repair: Repair,
        redactor: RowRedactor,
    ) -> Dialogue[GeneratedPrograms]:
        resolved = yield from supplement.resolve(context, trials)
        writer = ProgramWriter(
            context=context,
            trials=trials,
            redactor=redactor,
            repair=repair,
            strategy=supplement.strategy,
            prompt=context.prompts.program_request(
                context.data.task, resolved.text, performance_hint=self.performance_hint
            ),
            n_programs=self.n_programs,
        )
        candidates = yield from writer.write()
        return GeneratedPrograms(candidates=tuple(candidates), supplements=(resolved,))

    def generate(
        self, context: RunContext, trials: ProgramTrials, supplement: Supplement, repair: Repair
    ) -> GeneratedPrograms:
        """Run the dialogue with the LLM."""
        calls: dict[str, LLMCall] = {}

        def answer(batch: RequestBatch) -> list[LLMCall]:
            """Send the requests and keep each call once."""
            answered = context.answer(batch)
            for call in answered:
                calls.setdefault(call.request.key, call)  # two strategies may send the same request
            return answered

        generated = run_dialogue(self.dialogue(context, trials, supplement, repair), answer)
        return GeneratedPrograms(
            candidates=generated.candidates, supplements=generated.supplements, calls=tuple(calls.values())
        )

    def advice_without_programs(self, rejected: Sequence[Rejected], repair: Repair) -> str:
        """Return the advice that fits the reasons; programs that run and do not vote show wrong texts or classes."""
        advice = []
        stages = {one.stage for one in rejected}
        if stages and stages <= _WITHOUT_SIGNAL:
            advice.append("check that the column of the texts, dataset.classes and dataset.prompt belong together")
        else:
            advice.append("use another llm.model")
        if any(one.stage is RejectionStage.NO_RESPONSE and FinishReason.TRUNCATED in one.reason for one in rejected):
            advice.append("raise llm.max_output_tokens")
        if not repair.attempts and any(one.program is not None for one in rejected):
            advice.append("have programs repaired with repair=on")
        return ", or ".join(advice)

    def n_requested(self, supplement: Supplement) -> int:
        """Return `n_programs` times the number of strategies."""
        return self.n_programs * self.n_strategies(supplement)

    def n_strategies(self, supplement: Supplement) -> int:
        """Return the number of the supplement's members."""
        return len(supplement.members())


@component("method", "vanilla_image")
@dataclass(kw_only=True)
class VanillaImageMethod(AlchemistMethod):
    """An LLM writes programs that read the pixels of images, the paper's baseline (Table 2)."""

    reads_scores = False
    labels_texts = False
