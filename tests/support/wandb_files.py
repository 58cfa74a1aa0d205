"""Reads the files of offline W&B runs."""

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wandb.proto.wandb_internal_pb2

_RECORD: Any = wandb.proto.wandb_internal_pb2.__dict__["Record"]  # made when the module is imported
_BLOCK = 1 << 15
_HEADER = 7


@dataclass(kw_only=True)
class OfflineRun:
    """What an offline run has logged.

    Attributes:
        run: The record of the run: id, name, group, job type.
        summary: The last value of each key, as JSON; the parts of a nested key are joined by dots.
        exit_code: 0 for a finished run, 1 for a failed one.

    """

    run: Any = None
    summary: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None


def read_offline_run(directory: Path) -> OfflineRun:
    """Read the only offline run of a directory, when W&B's process has written it.

    Args:
        directory: The directory that the logger got.

    Returns:
        What was logged.

    """
    (path,) = directory.glob("wandb/offline-run-*/*.wandb")
    for _ in range(300):
        logged = OfflineRun()
        for raw in _records(path.read_bytes()):
            record = _RECORD.FromString(raw)
            if record.HasField("run"):
                logged.run = record.run
            if record.HasField("exit"):
                logged.exit_code = record.exit.exit_code
            items = [*record.summary.update, *record.history.item]
            logged.summary.update({item.key or ".".join(item.nested_key): item.value_json for item in items})
        if logged.exit_code is not None:
            return logged
        time.sleep(0.1)
    raise TimeoutError(f"{path} has no end")


def _records(raw: bytes) -> Iterator[bytes]:
    """Yield the records of a file of W&B: the log format of LevelDB after a header of seven bytes."""
    position, parts = _HEADER, b""
    while position + _HEADER <= len(raw):
        if _BLOCK - position % _BLOCK < _HEADER:
            position += _BLOCK - position % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", raw, position)
        position += _HEADER
        parts += raw[position : position + length]
        position += length
        if kind in (1, 4):  # a whole record, or its last part
            yield parts
            parts = b""
