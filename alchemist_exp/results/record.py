"""The record of a run: everything that a table, a comparison or a reader needs, and no secret.

It is written as `started` when a run begins and replaced when the run ends, so that a killed job leaves a record too.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.errors import StoreError

SCHEMA_VERSION = 2
"""Raised when the keys of a record change."""

RECORD = "record.json"

MAX_RECORD_BYTES = 1 << 26
"""A larger record of another person is not read."""

SCORES = {"accuracy": "accuracy", "f1": "F1", "macro_f1": "macro F1"}
"""The scores in a record, and their headings."""

EXPORTED_RUN = "run"
"""The directory of an export with the files of its run."""

REPORT = "report.html"
"""The report of a run, which `alchemist report` writes into its directory."""

Section = dict[str, Any]
"""A part of the record, as JSON."""

STOPPED_BY_TIME_LIMIT = "stopped by Slurm's time limit"

INTERRUPTIONS = ("interrupted", "terminated", STOPPED_BY_TIME_LIMIT)
"""The errors of runs that Ctrl-C, SIGTERM and the time limit of a job have ended."""

SECTIONS = ("config", "components", "data", "programs", "label_model", "end_model", "cost", "seconds")
"""The sections that every finished record has."""


class OutdatedRecordError(StoreError):
    """A record has an older schema than this version of the program reads."""


class RunStatus(StrEnum):
    """What a record says of its run."""

    STARTED = "started"  # running, or killed
    FINISHED = "finished"
    FAILED = "failed"  # ended by an error or an interruption


def utc_now() -> str:
    """Return the current time as records have it: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(kw_only=True)
class RunRecord:
    """The record of one run.

    Attributes:
        run_key: The key of everything that can alter the result; the name of the run's directory.
        status: Whether the run has finished.
        started_at: When it began, as `utc_now`.
        finished_at: When it ended; None before.
        error: Why it failed.
        schema_version: The version of these keys.
        config: The composed configuration.
        overrides: The overrides of the command line.
        components: The key of each component that can alter the result, by group; None for a group that the method does
            not use. Runs that differ here are not merged in a comparison.
        code: A key of the package's source code.
        git: Commit of the checkout and whether it had changes.
        packages: Versions of the packages that can alter a number.
        host: Cores, accelerator and machine.
        data: Name, fingerprint, rows, classes, and which gold labels were used for what.
        programs: Programs that voted, were not selected, or were rejected and why; errors; supplements; for
            method=hybrid also `asked_rows`, what the LLM said about doubtful rows.
        label_model: Labels, class balance, coverage and scores by split; warnings; for label_model=auto the `choice`:
            which model was `chosen`, `by` what, the `scores` of the candidates, and why others were `left_out`.
        end_model: Mean, standard deviation and the score of each seed, by split; scores of their `ensemble` and, with
            predict=combine, of its mixture with the label model (`combined`).
        groups: Scores by group, each a class and a value of a spurious attribute: its name as `attribute`, the groups'
            `names` and `train_shares`, the stages to which group labels were known (`used_by`), and scores by split of
            `label_model` and `end_model`. Empty for a dataset without such an attribute.
        concepts: The concept descriptions of images: their `source`, the `scale` of their scores and, as `list`, each
            `concept` and `description`, its `class`, whether it was `kept` or the `reason`, and its `fidelity` to
            known attributes. Empty for a method without concepts.
        rounds: Why the rounds of improvement ended (`stopped`) and, as `list`, the number of each `round`, what was
            `asked` for, programs that were `accepted` or `left_out`, cost, coverage and scores. Empty without rounds.
        cost: Calls, tokens and dollars, and the break-even with zero-shot labeling.
        notes: What a reader of the results should know.
        seconds: Time of each stage.
        cache_entries: The entries of the cache that the run has read or made, as "<kind>/<key>".

    Sections of a run that has not finished are empty.
    """

    run_key: str
    status: RunStatus
    started_at: str
    finished_at: str | None = None
    error: str | None = None
    schema_version: int = SCHEMA_VERSION
    config: Section = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    components: Section = field(default_factory=dict)
    code: str = ""
    git: Section = field(default_factory=dict)
    packages: Section = field(default_factory=dict)
    host: Section = field(default_factory=dict)
    data: Section = field(default_factory=dict)
    programs: Section = field(default_factory=dict)
    label_model: Section = field(default_factory=dict)
    end_model: Section = field(default_factory=dict)
    groups: Section = field(default_factory=dict)
    concepts: Section = field(default_factory=dict)
    rounds: Section = field(default_factory=dict)
    cost: Section = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: Section = field(default_factory=dict)
    cache_entries: list[str] = field(default_factory=list)

    def end(self, status: RunStatus, error: str | None = None) -> None:
        """Set the status of a run that has ended, and when.

        Args:
            status: FINISHED or FAILED.
            error: Why it failed.

        """
        # The clock may have been set back meanwhile. Texts of `utc_now` are in the order of their times.
        self.status, self.error, self.finished_at = status, error, max(utc_now(), self.started_at)

    @property
    def multi_label(self) -> bool:
        """Whether several classes may hold for a row; `f1` is then the micro-F1, and `accuracy` the subset accuracy."""
        return self.data.get("multi_label") is True

    @property
    def metric(self) -> str:
        """The score by which the dataset is judged: accuracy, f1, or with several classes per row macro_f1."""
        return "macro_f1" if self.multi_label else str(self.config["dataset"]["metric"])

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C, SIGTERM or the time limit of a job has ended the run."""
        return self.status is RunStatus.FAILED and self.error in INTERRUPTIONS

    def write(self, directory: Path) -> None:
        """Replace the record in a directory, atomically.

        Args:
            directory: The run's directory.

        """
        write_json(directory / RECORD, asdict(self))

    @classmethod
    def read_current(cls, directory: Path) -> Self | None:
        """Read the record in a directory, for a run that replaces a record of an older schema.

        Args:
            directory: The run's directory.

        Returns:
            The record; None where there is none, or one of an older schema.

        Raises:
            StoreError: The record is broken, or a newer version of this program wrote it.

        """
        try:
            return cls.read(directory)
        except OutdatedRecordError:
            return None

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Read the record in a directory.

        Args:
            directory: The run's directory.

        Returns:
            The record; None where there is none.

        Raises:
            OutdatedRecordError: The record has an older schema.
            StoreError: The record is broken, or a newer version of this program wrote it.

        """
        path = directory / RECORD
        if not path.exists():
            return None
        raw = read_json(path, what="the record")
        if not isinstance(raw, Mapping) or not isinstance(version := raw.get("schema_version"), int):
            raise StoreError(f"the record {path} is broken (no schema_version); delete it and run again.")
        if version > SCHEMA_VERSION:
            raise StoreError(f"the record {path} was written by a newer version of this program; update, or delete it.")
        if version < SCHEMA_VERSION:
            raise OutdatedRecordError(
                f"the record {path} has schema version {version}, and this version of the program reads version "
                f"{SCHEMA_VERSION}; run it again with `alchemist run` and the overrides in that file (cached responses "
                "and votes are used again)."
            )
        try:
            known = {f.name for f in fields(cls)}
            record = cls(**{name: value for name, value in raw.items() if name in known})
            record.status = RunStatus(record.status)
            missing = [name for name in SECTIONS if not getattr(record, name)]
            if missing and record.status is RunStatus.FINISHED:
                raise ValueError(f"finished without {' and '.join(missing)}")
            return record
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"the record {path} is broken ({error}); delete it and run again.") from error


def run_in(directory: Path) -> Path | None:
    """Return the directory of a run, which may be inside an export.

    Args:
        directory: The directory of a run or of an export.

    Returns:
        The directory that has the record; None if there is none.

    """
    return next((path for path in (directory, directory / EXPORTED_RUN) if (path / RECORD).is_file()), None)


def read_finished(directory: Path, purpose: str) -> RunRecord:
    """Return the record of a finished run.

    Args:
        directory: The run's directory.
        purpose: What the run is needed for, in an error message ("compare finished runs").

    Returns:
        The record.

    Raises:
        StoreError: The run has not finished, or its record cannot be read.

    """
    record = RunRecord.read(directory)
    if record is None:
        raise StoreError(f"the run {directory} has no record; {purpose}.")
    if record.interrupted:
        raise StoreError(f"the run {directory} was {record.error} before it finished; run it again; {purpose}.")
    if record.status is not RunStatus.FINISHED:
        why = f" ({record.error})" if record.error else ""
        raise StoreError(f"the run {directory} has {record.status}, not finished{why}; {purpose}.")
    return record


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The record of a run.

    Attributes:
        record: The record.
        directory: The run's directory.
        reused: Whether the record existed before.

    """

    record: RunRecord
    directory: Path
    reused: bool
