"""Lists the jobs of a sweep: combinations of values, or the lines of a file, without those that are left out."""

import copy
import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from alchemist_exp.config_errors import sentence
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.sweeps.overrides import checked_overrides, key_of_override

CHOOSE_JOBS = ("sweep.file", "sweep.skip")
"""The keys that no job gets. Each job reads sweep.fail_fast."""

_ABSENT = object()


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepJob:
    """One job of a sweep.

    Attributes:
        number: Its number in the sweep, from 1.
        overrides: Its overrides, one value each.
        config: Its composed configuration, without Hydra's.
        hydra: Hydra's own configuration of the job.

    """

    number: int
    overrides: tuple[str, ...]
    config: DictConfig
    hydra: DictConfig

    @property
    def name(self) -> str:
        """The overrides without those that choose the jobs, as one text."""
        return " ".join(override for override in self.overrides if not key_of_override(override).startswith("sweep."))

    def whole_config(self, sweep: DictConfig) -> DictConfig:
        """Return a copy of the configuration with Hydra's section, as Hydra composes it.

        Args:
            sweep: The configuration of the sweep. A value such as ${now:...} is the same in all of its jobs.

        """
        whole = copy.deepcopy(self.config)
        with read_write(whole), open_dict(whole):
            whole["hydra"] = self.hydra
        OmegaConf.copy_cache(from_config=sweep, to_config=whole)
        return whole


@dataclass(frozen=True, kw_only=True)
class JobList:
    """The jobs of a sweep.

    Attributes:
        jobs: The jobs in their order.
        notes: What the user should know of the list.

    """

    jobs: tuple[SweepJob, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """The overrides in one line of a file of jobs, and where they are."""

    where: str
    overrides: tuple[str, ...]


def list_jobs(arguments: Sequence[str], config: DictConfig, loader: ConfigLoader) -> JobList:
    """Compose every job of a sweep.

    Args:
        arguments: The overrides of the command line and of an experiment; those with several values make the jobs.
        config: The composed configuration of the sweep, with `sweep.file` and `sweep.skip`.
        loader: Composes the configuration of each job.

    Returns:
        The jobs. A line of the file replaces overrides of the same keys. Equal jobs are one job.

    Raises:
        ConfigError: The file cannot be read, a line is wrong, or no job is left.
        HydraException: An override of the command line cannot be composed.

    """
    parser = OverridesParser.create(config_loader=loader)
    common = [text for text in arguments if key_of_override(text) not in CHOOSE_JOBS]
    lines = [Line(where="", overrides=())] if config.sweep.file is None else read_jobs(Path(config.sweep.file))
    skips = [_Skip(text, parser) for text in config.sweep.skip]
    jobs: dict[tuple[str, ...], SweepJob] = {}
    notes = []
    for line in lines:
        try:
            parsed = parser.parse_overrides([*common, *line.overrides])
            (combinations,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
            for overrides in combinations:
                composed = loader.load_sweep_config(config, overrides)
                # Every combination is tried, so that each one knows whether it excludes a job.
                skipped = [skip.excludes(composed) for skip in skips]
                if tuple(overrides) in jobs:
                    notes.append(f"{line.where or 'the command line'} has a job for the second time; it is run once")
                elif not any(skipped):
                    jobs[tuple(overrides)] = _job(len(jobs) + 1, overrides, composed)
        except Exception as error:
            if not line.where:
                raise
            raise ConfigError(f"{line.where}: {sentence(error)}") from error
    notes += [f"sweep.skip: {skip.text!r} leaves out no job" for skip in skips if not skip.used]
    if not jobs:
        raise ConfigError("the sweep has no job: sweep.file has no line with overrides, or sweep.skip leaves out all.")
    return JobList(jobs=tuple(jobs.values()), notes=tuple(notes))


def compose_job(number: int, overrides: Sequence[str], config: DictConfig, loader: ConfigLoader) -> SweepJob:
    """Compose one job of a sweep.

    Args:
        number: Its number in the sweep, from 1.
        overrides: Its overrides, one value each.
        config: The composed configuration of the sweep.
        loader: Composes the configuration of the job.

    Returns:
        The job.

    Raises:
        HydraException: An override cannot be composed.

    """
    return _job(number, overrides, loader.load_sweep_config(config, [*overrides]))


def _job(number: int, overrides: Sequence[str], composed: DictConfig) -> SweepJob:
    hydra = composed.hydra
    with read_write(composed), open_dict(composed):
        del composed["hydra"]
    return SweepJob(number=number, overrides=tuple(overrides), config=composed, hydra=hydra)


def read_jobs(path: Path) -> list[Line]:
    """Read a file with the overrides of one job per line.

    Args:
        path: The file. Lines are split as a shell does; "#" begins a comment; blank lines are left out.

    Returns:
        The lines with overrides.

    Raises:
        ConfigError: The file cannot be read, or a line is wrong; the message names the line.

    """
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"sweep.file={single_line(str(path))} cannot be read: {reason}.") from error
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{single_line(str(path))}, line {number}"
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
            lexer.whitespace_split, lexer.commenters = True, ""
            # A comment begins with a word that begins with "#"; what follows is not parsed.
            words = list(itertools.takewhile(lambda word: not word.startswith("#"), lexer))
            if words:
                lines.append(Line(where=where, overrides=tuple(checked_overrides(words))))
        except ValueError as error:
            raise ConfigError(f"{where}: {str(error).lower()}; close the quotation mark.") from error
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        for word in words:
            if key_of_override(word).startswith(("sweep.", "hydra.", "hydra/")):
                raise ConfigError(f"{where}: {key_of_override(word)} is for the whole sweep; give it to the command.")
    return lines


class _Skip:
    """A combination of overrides; jobs with all of its values are left out.

    Attributes:
        text: The combination, as it was given.
        used: Whether it has excluded a job.

    """

    def __init__(self, text: str, parser: OverridesParser) -> None:
        """Parse a combination; a wrong one raises ConfigError, which names the text."""
        self.text, self.used = text, False
        try:
            words = checked_overrides(shlex.split(text))
            self._wanted = []
            for override in parser.parse_overrides(words):
                swept = override.sweep_iterator() if override.is_sweep_override() else None
                values = [override.value()] if swept is None else [Override._convert_value(value) for value in swept]
                self._wanted.append((override.key_or_group, values))
        except ValueError as error:
            raise ConfigError(f"sweep.skip: {text!r}: {str(error).lower()}; close the quotation mark.") from error
        except Exception as error:
            raise ConfigError(f"sweep.skip: {text!r}: {sentence(error)}") from error
        if not self._wanted:
            raise ConfigError("sweep.skip has an empty combination, which would leave out all jobs.")

    def excludes(self, config: DictConfig) -> bool:
        """Return whether a job has all of the values."""
        choices = config.hydra.runtime.choices
        for key, wanted in self._wanted:
            found: Any = choices[key] if key in choices else OmegaConf.select(config, key, default=_ABSENT)
            found = found.name if isinstance(found, Enum) else found
            if found is _ABSENT or not any(found == value or str(found) == str(value) for value in wanted):
                return False
        self.used = True
        return True
