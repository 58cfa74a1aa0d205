"""The record of a run: all that a table, a comparison or a reader needs, and no secret.

Written `started` when a run begins and replaced when it ends, so that a killed job leaves evidence.
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
"""Raised when a reader of old records would misread a new one."""

RECORD = "record.json"

Section = dict[str, Any]
"""A part of the record as JSON knows it; its keys are those the README lists."""


SECTIONS = ("config", "data", "programs", "label_model", "end_model", "cost", "seconds")
"""What every finished record has."""


class OutdatedRecordError(StoreError):
    """A record has an older schema than this version of the program reads."""


class RunStatus(StrEnum):
    """How far a run has come."""

    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"


def utc_now() -> str:
    """The time as records write it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(kw_only=True)
class RunRecord:
    """One run. Sections of a run that has not finished are empty."""

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
    cost: Section = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: Section = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Replaces the record in `folder`, whole or not at all."""
        write_json(folder / RECORD, asdict(self))

    @classmethod
    def read_current(cls, folder: Path) -> Self | None:
        """Return the record in `folder`; None where there is none, or one of an older schema, which a run replaces."""
        try:
            return cls.read(folder)
        except OutdatedRecordError:
            return None

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The record in `folder`, None when there is none. StoreError when it is broken or of a newer program."""
        path = folder / RECORD
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
            if record.status is RunStatus.FINISHED and (
                lacking := [name for name in SECTIONS if not getattr(record, name)]
            ):
                raise ValueError(f"finished without {' and '.join(lacking)}")
            return record
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"the record {path} is broken ({error}); delete it and run again.") from error
