"""Labels by programs: written by an LLM (paper, Section 3) or taken from a folder."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError, ProgramsError
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.types import LabelMatrix, Split
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch, run_dialogue
from alchemist_exp.llm.types import LLMCall
from alchemist_exp.methods.base import LabelingResult, LabelSources, Method, Parts, Workbench, aggregate
from alchemist_exp.methods.trials import Tried
from alchemist_exp.methods.writing import GeneratedPrograms, write
from alchemist_exp.programs.execution import ExecutionResult, execute
from alchemist_exp.programs.files import read_folder
from alchemist_exp.programs.selection import ProgramPool
from alchemist_exp.programs.types import Candidate, Rejected
from alchemist_exp.programs.vetting import Ground, Vetter
from alchemist_exp.supplements.base import Desk

_MOST_REASONS: Final = 10


@dataclass(kw_only=True)
class ProgramMethod(Method):
    """Programs are vetted, executed and chosen, and their votes weighed.

    cure: of having no program at all. repairs: whether an LLM writes them, by strategies, and can be asked again.
    """

    cure: ClassVar[str] = "mend or add programs"
    repairs: ClassVar[bool] = False

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """Whoever wrote the programs, they are vetted, held by the sandbox, chosen, and weighed by a label model."""
        return (parts.sandbox, parts.vetting, parts.selection, parts.label_model)

    @abstractmethod
    def write(self, bench: Workbench, vetter: Vetter) -> tuple[GeneratedPrograms, tuple[LLMCall, ...]]:
        """Vetted programs, and the calls they came from."""

    def label(self, bench: Workbench) -> LabelingResult:
        """Labels every split. ProgramsError, with the reasons, when too few programs are left."""
        ground = Ground(
            data=bench.data,
            valid_gold=bench.valid_gold,
            sandbox=bench.parts.sandbox,
            store=bench.store,
            stages=bench.stages,
        )
        vetter = Vetter(bench.parts.vetting, ground)
        written, calls = self.write(bench, vetter)
        accepted = written.vetted.accepted
        rows = sum(len(bench.data.texts(split)) for split in bench.data.splits)
        with bench.stages.stage("votes", f"running {len(accepted)} programs", rows * len(accepted)) as advance:
            done = execute(accepted, bench.data, bench.parts.sandbox, bench.store, on_progress=advance)
        rejected = written.vetted.rejected + done.rejected
        if len(done.programs) < bench.parts.label_model.min_programs:
            raise self._too_few(len(done.programs), written.replies, rejected, bench.parts.label_model)
        chosen = _chosen(done, bench)
        programs = [done.programs[column] for column in chosen]
        voters = LabelSources(
            source=self.name,
            requested=self.n_requested(bench.parts),
            written=written.replies,
            ids=tuple(program.id for program in programs),
            origins=tuple(program.origin for program in programs),
            matrices={
                split: LabelMatrix(votes=matrix.votes[:, chosen], n_classes=matrix.n_classes)
                for split, matrix in done.matrices.items()
            },
            programs=tuple(programs),
            spare=tuple(p for column, p in enumerate(done.programs) if column not in chosen),
            supplied=written.supplied,
            rejected=rejected,
            runs=done.runs,
            notes=self._notes(written, done, bench, len(chosen)),
        )
        labeling = aggregate(voters, bench, calls)
        gold_used = [of for supplied in written.supplied for of in supplied.gold_used]
        gold_used += ["valid: vetting"] if vetter.used_gold else []
        gold_used += ["valid: selection"] if bench.parts.selection.uses_gold and bench.valid_gold is not None else []
        return replace(labeling, gold_used=(*dict.fromkeys(gold_used), *labeling.gold_used))

    def _too_few(self, accepted: int, replies: int, rejected: Sequence[Rejected], model: LabelModel) -> ProgramsError:
        said = f"{accepted or 'none'} of {replies} programs {'was' if accepted < 2 else 'were'} accepted"
        cure = self.cure
        if accepted:
            said += f" and label_model={model.name} needs {model.min_programs}"
            cure += ", or use label_model=majority"
        reasons = [f"{one.origin}: {one.reason}" for one in rejected[:_MOST_REASONS]]
        if len(rejected) > _MOST_REASONS:
            reasons.append(f"and {len(rejected) - _MOST_REASONS} more")
        return ProgramsError(f"{said} ({'; '.join(reasons)}); {cure}.")

    def _notes(
        self, written: GeneratedPrograms, done: ExecutionResult, bench: Workbench, chosen: int
    ) -> tuple[str, ...]:
        """What fell short."""
        parts, wanted = bench.parts, self.n_requested(bench.parts)
        notes = []
        if parts.repair.attempts and self.repairs and len(done.programs) < wanted:
            notes.append(
                f"{len(done.programs)} of the {wanted} programs asked for were accepted in {written.replies} replies; "
                "repair.max_responses and repair.attempts say how many may be asked for."
            )
        strategies = len(parts.supplement.members()) if self.repairs else 1
        if (most := parts.selection.most(1 << 30, strategies)) < 1 << 30 and chosen < most:
            notes.append(f"selection={parts.selection.name} was to choose {most} programs; {chosen} is all there were.")
        if parts.vetting.reject_below_chance and bench.valid_gold is None:
            notes.append("Programs below chance were not looked for: that needs gold=valid and labels of valid.")
        if any(of.startswith("valid: exemplars") for supplied in written.supplied for of in supplied.gold_used):
            notes.append("Rows of valid were shown to the LLM: scores on valid are no fair estimate.")
        return tuple(notes)

    @abstractmethod
    def n_requested(self, parts: Parts) -> int:
        """How many programs were wanted."""

    def most_programs(self, parts: Parts) -> int:
        """As many as were wanted, or are chosen of them."""
        return parts.selection.most(self.n_requested(parts), len(parts.supplement.members()) if self.repairs else 1)


def _chosen(done: ExecutionResult, bench: Workbench) -> list[int]:
    """The columns that vote."""
    gold = bench.valid_gold
    bank = ProgramPool(
        programs=done.programs,
        train=done.matrices[Split.TRAIN],
        valid=None if gold is None else done.matrices[Split.VALID],
        gold=gold,
    )
    return bench.parts.selection.choose(bank)


@component("method", "alchemist")
@dataclass(kw_only=True)
class AlchemistMethod(ProgramMethod):
    """`n_programs` for each strategy (paper, Section 3.1).

    performance_hint: whether the prompt says what makes programs fast.
    """

    cure = (
        "name another llm.model, raise llm.max_output_tokens if replies are truncated, or have them mended by repair=on"
    )
    repairs = True
    n_programs: int = MISSING
    performance_hint: bool = MISSING

    def __post_init__(self) -> None:
        if self.n_programs < 1:
            raise ConfigError(f"method.n_programs is {self.n_programs}; 1 or more is needed.")

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """The LLM, what it is told, and how often it is asked again."""
        return (parts.llm, parts.supplement, parts.repair, *super().used(parts))

    def script(self, desk: Desk, parts: Parts) -> Dialogue[GeneratedPrograms]:
        """Supplements where they are configured, then programs."""
        return write(
            desk, parts.supplement, parts.repair, n_programs=self.n_programs, performance_hint=self.performance_hint
        )

    def write(self, bench: Workbench, vetter: Vetter) -> tuple[GeneratedPrograms, tuple[LLMCall, ...]]:
        """What the LLM answers."""
        asked: list[LLMCall] = []

        def answer(ask: RequestBatch) -> Sequence[LLMCall]:
            calls = bench.answer(ask)
            asked.extend(calls)
            return calls

        desk = bench.desk(Tried(bench=bench, vetter=vetter))
        written = run_dialogue(self.script(desk, bench.parts), answer)
        paid = {call.request.key: call for call in reversed(asked)}  # two scripts may ask the same
        return written, tuple(reversed(paid.values()))

    def n_requested(self, parts: Parts) -> int:
        """Of all strategies together."""
        return self.n_programs * len(parts.supplement.members())


def _content(candidate: Candidate) -> dict[str, object]:
    """What of a file alters a run: not the header that says how it was written."""
    content: dict[str, object] = to_jsonable(candidate)
    return content | {"header": None}


@component("method", "program_files")
@dataclass(kw_only=True)
class ProgramFilesMethod(ProgramMethod):
    """The *.py files of a folder: programs that people wrote, mended or chose."""

    path: str = MISSING

    def check(self) -> None:
        """ProgramsError when there are no files."""
        _ = self._read

    def cache_key(self) -> dict[str, object]:
        """The programs themselves, wherever they lie."""
        return {"name": self.name, "programs": [_content(candidate) for candidate in self._read]}

    def write(self, bench: Workbench, vetter: Vetter) -> tuple[GeneratedPrograms, tuple[LLMCall, ...]]:
        """The folder's programs; no LLM is asked."""
        return GeneratedPrograms(vetted=vetter.vet(self._read), supplied=(), replies=len(self._read)), ()

    def n_requested(self, parts: Parts) -> int:
        """All of the folder."""
        return len(self._read)

    @cached_property
    def _read(self) -> list[Candidate]:
        # Once: the programs that run are those that are in the run's key.
        return read_folder(resolve_user_path(self.path, "method.path"))
