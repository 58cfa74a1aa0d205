"""Labels by programs: written by an LLM (paper, Section 3) or taken from a folder."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError, LLMError, ProgramsError
from alchemist_exp.core.hashing import plain
from alchemist_exp.data.base import TextData
from alchemist_exp.labelers.base import Labeler, Labeling, Parts, Voters, Workbench, aggregate
from alchemist_exp.llm.asking import Ask, Script, follow
from alchemist_exp.llm.base import LLM, Completion, Exchange, Finish
from alchemist_exp.programs.base import Program, Rejected
from alchemist_exp.programs.execute import execute
from alchemist_exp.programs.extract import extract_source
from alchemist_exp.programs.folder import read_folder
from alchemist_exp.programs.vet import vet
from alchemist_exp.prompts import programs as program_prompts
from alchemist_exp.prompts import supplement as supplement_prompts
from alchemist_exp.prompts.supplement import Supplement

Candidate = Program | Rejected

PROGRAM_TOKENS, SUPPLEMENT_TOKENS = 450, 450
"""How long replies are expected to be: about the mean of the recorded ones, for plans."""


@dataclass(kw_only=True)
class ProgramLabeler(Labeler):
    """Candidates are vetted, executed in the sandbox and their votes weighed. cure: of having no program at all."""

    cure: ClassVar[str] = "mend or add programs"

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """Whoever wrote the programs, the sandbox holds them and a label model weighs their votes."""
        return (parts.sandbox, parts.label_model)

    @abstractmethod
    def candidates(self, bench: Workbench) -> tuple[list[Candidate], tuple[Exchange, ...]]:
        """Programs to vet, and the exchanges they came from."""

    def label(self, bench: Workbench) -> Labeling:
        """Labels every split. ProgramsError when no program is left."""
        candidates, exchanges = self.candidates(bench)
        with bench.stages.stage("programs", "vetting programs"):
            vetted = vet(candidates, max_source_bytes=bench.sandbox.max_source_bytes)
        rows = sum(len(bench.data.texts(split)) for split in bench.data.splits)
        work = rows * len(vetted.accepted)
        with bench.stages.stage("votes", f"running {len(vetted.accepted)} programs", work) as advance:
            done = execute(vetted.accepted, bench.data, bench.sandbox, bench.store, on_progress=advance)
        rejected = vetted.rejected + done.rejected
        if not done.programs:
            reasons = "; ".join(f"{r.origin}: {r.reason}" for r in rejected[:3])
            raise ProgramsError(f"none of {len(candidates)} programs was accepted ({reasons}); {self.cure}.")
        voters = Voters(
            source=self.name,
            requested=len(candidates),
            ids=tuple(program.id for program in done.programs),
            origins=tuple(program.origin for program in done.programs),
            matrices=done.matrices,
            programs=done.programs,
            rejected=rejected,
            runs=done.runs,
        )
        return aggregate(voters, bench, exchanges)


@dataclass(kw_only=True)
class WrittenPrograms(ProgramLabeler):
    """`n_programs` replies to one prompt, each a program (paper, Section 3.1)."""

    cure = "name another llm.model, raise llm.max_output_tokens if replies are truncated, or raise method.n_programs"
    n_programs: int = MISSING

    def __post_init__(self) -> None:
        if self.n_programs < 1:
            raise ConfigError(f"method.n_programs is {self.n_programs}; 1 or more is needed.")

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """The LLM and what it is told."""
        return (parts.llm, parts.supplement, *super().used(parts))

    def script(self, data: TextData, llm: LLM, supplement: Supplement) -> Script[tuple[Exchange, ...]]:
        """Asks for a supplement where one is configured, then for each program. The programs' exchanges come last."""
        asked: list[Exchange] = []
        written = ""
        if question := supplement.question(data.task):
            request = llm.request(supplement_prompts.SYSTEM, question)
            asked += yield Ask(what="asking for the supplement", requests=[request], answer_tokens=SUPPLEMENT_TOKENS)
            written = _supplement_of(asked[0].completion)
        prompt = program_prompts.program_prompt(data.task, written)
        what = f"asking for {self.n_programs} programs"
        if not llm.asks_for_variety:
            requests = [llm.request(program_prompts.SYSTEM, prompt, sample=n) for n in range(self.n_programs)]
            replies = yield Ask(what=what, requests=requests, answer_tokens=PROGRAM_TOKENS)
            return (*asked, *replies)
        sources: list[str] = []
        for sample in range(self.n_programs):
            request = llm.request(program_prompts.SYSTEM, program_prompts.unlike(prompt, sources), sample=sample)
            (reply,) = yield Ask(what=f"{what}, number {sample + 1}", requests=[request], answer_tokens=PROGRAM_TOKENS)
            asked.append(reply)
            if source := extract_source(reply.completion.text):
                sources.append(source)
        return tuple(asked)

    def candidates(self, bench: Workbench) -> tuple[list[Candidate], tuple[Exchange, ...]]:
        """What the LLM answers, each reply a candidate."""
        exchanges = follow(self.script(bench.data, bench.asker.llm, bench.supplement), bench.answer)
        replies = exchanges[-self.n_programs :]
        candidates = [_candidate(reply.completion, f"sample {sample}") for sample, reply in enumerate(replies)]
        return candidates, exchanges


def _supplement_of(reply: Completion) -> str:
    """The text of the supplement. LLMError when the LLM gave none."""
    if reply.finish is not Finish.COMPLETE:
        raise LLMError(
            f"the reply to the supplement's question is {reply.finish}; raise llm.max_output_tokens, name another "
            "llm.model, or use supplement=none."
        )
    return reply.text


def _candidate(reply: Completion, origin: str) -> Candidate:
    if reply.finish is not Finish.COMPLETE:
        return Rejected(origin=origin, reason=f"the reply is {reply.finish}")
    source = extract_source(reply.text)
    if source is None:
        return Rejected(origin=origin, reason="the reply holds no code")
    return Program(source=source, origin=origin)


@dataclass(kw_only=True)
class ProgramFolder(ProgramLabeler):
    """The *.py files of a folder: programs that people wrote, mended or chose."""

    path: str = MISSING

    def check(self) -> None:
        """ProgramsError when there are no files."""
        _ = self._read

    def cache_key(self) -> dict[str, object]:
        """The programs themselves, wherever they lie."""
        return {"name": self.name, "programs": [plain(candidate) for candidate in self._read]}

    def candidates(self, bench: Workbench) -> tuple[list[Candidate], tuple[Exchange, ...]]:
        """The folder's programs; no LLM is asked."""
        return list(self._read), ()

    @cached_property
    def _read(self) -> list[Candidate]:
        # Once: the programs that run are those that are in the run's key.
        return read_folder(Path(self.path).expanduser())
