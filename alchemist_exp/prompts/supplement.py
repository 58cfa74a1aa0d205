"""Supplements: what is put before the task description (paper, Section 3.1 and Table 7)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.task import Task

SYSTEM = "You help people who write labeling programs. Answer concisely."


@dataclass(kw_only=True)
class Supplement(Component, ABC):
    """A supplement group member. `name` is the strategy's name in the record and the tables."""

    @abstractmethod
    def question(self, task: Task) -> str | None:
        """What the LLM is asked first, to write the supplement itself; None when nothing is supplemented."""


@dataclass(kw_only=True)
class NoSupplement(Supplement):
    """The general prompt."""

    def question(self, task: Task) -> None:
        """Nothing is asked."""


@dataclass(kw_only=True)
class WrittenSupplement(Supplement):
    """A supplement that the LLM writes in a first call, as `instruction` says."""

    instruction: str = MISSING

    def __post_init__(self) -> None:
        if not self.instruction.strip():
            raise ConfigError("supplement.instruction is empty; say what the LLM should write, or use supplement=none.")

    def question(self, task: Task) -> str:
        """The first call's prompt."""
        return f"Task: {task.description}\nClasses: {', '.join(task.classes)}.\n\n{self.instruction}"
