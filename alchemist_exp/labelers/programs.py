"""Labels by programs: written by an LLM (paper, Section 3) or taken from a folder."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError, ProgramsError
from alchemist_exp.core.hashing import plain
from alchemist_exp.labelers.base import Labeler, Labeling, Parts, Voters, Workbench, aggregate
from alchemist_exp.llm.base import Completion, Exchange, Finish
from alchemist_exp.programs.base import Program, Rejected
from alchemist_exp.programs.execute import execute
from alchemist_exp.programs.extract import extract_source
from alchemist_exp.programs.folder import read_folder
from alchemist_exp.programs.vet import vet
from alchemist_exp.prompts import programs as program_prompts
from alchemist_exp.prompts import supplement as supplement_prompts

Candidate = Program | Rejected


@dataclass(kw_only=True)
class ProgramLabeler(Labeler):
    """Candidates are vetted, executed in the sandbox and their votes weighed."""

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """Whoever wrote the programs, the sandbox holds them."""
        return (parts.sandbox,)

    @abstractmethod
    def candidates(self, bench: Workbench) -> tuple[list[Candidate], tuple[Exchange, ...]]:
        """Programs to vet, and the exchanges they came from."""

    def label(self, bench: Workbench) -> Labeling:
        """Labels every split. ProgramsError when no program is left."""
        with bench.stages.stage("prompts", "getting programs"):
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
            raise ProgramsError(f"none of {len(candidates)} programs was accepted ({reasons}); mend or add programs.")
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

    n_programs: int = MISSING

    def __post_init__(self) -> None:
        if self.n_programs < 1:
            raise ConfigError(f"method.n_programs is {self.n_programs}; 1 or more is needed.")

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """The LLM and what it is told."""
        return (parts.llm, parts.supplement, *super().used(parts))

    def candidates(self, bench: Workbench) -> tuple[list[Candidate], tuple[Exchange, ...]]:
        """Asks for a supplement where one is configured, then for each program."""
        asked: list[Exchange] = []
        supplement = ""
        task = bench.data.task
        if question := bench.supplement.question(task):
            asked.append(_ask(bench, supplement_prompts.SYSTEM, question))
            supplement = asked[0].completion.text
        prompt = program_prompts.program_prompt(task, supplement)
        replies = [_ask(bench, program_prompts.SYSTEM, prompt, sample) for sample in range(self.n_programs)]
        candidates = [_candidate(reply.completion, f"sample {sample}") for sample, reply in enumerate(replies)]
        return candidates, (*asked, *replies)


def _ask(bench: Workbench, system: str, prompt: str, sample: int = 0) -> Exchange:
    request = bench.llm.request(system, prompt, sample=sample)
    return Exchange(request=request, completion=bench.replies.complete(request, bench.llm.complete))


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
