"""Programs from a directory: written, corrected or chosen by people."""

from dataclasses import dataclass
from functools import cached_property

from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.methods.base import ProgramMethod
from alchemist_exp.methods.types import GeneratedPrograms
from alchemist_exp.programs.files import read_directory
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.programs.types import Candidate
from alchemist_exp.supplements.base import Supplement


@component("method", "program_files")
@dataclass(kw_only=True)
class ProgramFilesMethod(ProgramMethod):
    """The *.py files of a directory.

    Attributes:
        path: The directory.
        edited_from: The key of the run whose programs the directory has with changes, for the record; None for none.

    """

    advice_for_more_programs = "add programs to the directory method.path"
    reads_scores = True
    supports_multi_label = True
    path: str = MISSING
    edited_from: str | None = None

    def check(self) -> None:
        """Raise ProgramsError when there are no files."""
        _ = self.candidates

    def cache_key(self) -> dict[str, object]:
        """Return the programs' content; neither their directory nor the headers nor their origin alter a run."""
        return {"name": self.name, "programs": [to_jsonable(c) | {"header": None} for c in self.candidates]}

    def generate(
        self, context: RunContext, trials: ProgramTrials, supplement: Supplement, repair: Repair
    ) -> GeneratedPrograms:
        """Return the programs of the directory; makes no LLM call."""
        return GeneratedPrograms(candidates=tuple(self.candidates))

    def n_requested(self, supplement: Supplement) -> int:
        """Return the number of files."""
        return len(self.candidates)

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The programs of the directory."""
        # Read once, so that the programs that run are those in the run's key.
        return read_directory(resolve_user_path(self.path, "method.path"))
