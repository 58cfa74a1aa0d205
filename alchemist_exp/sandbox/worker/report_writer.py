"""Writes a worker's messages into shared memory; `sandbox.worker_report` is the reader."""

import struct
from collections.abc import Callable

from alchemist_exp.sandbox.worker.protocol import LOADED, MESSAGE_SLOTS, SLOT_BYTES


class ReportWriter:
    """Writes the first message of each kind into the report area, where the parent reads it.

    Args:
        area: The REPORT_BYTES bytes after the votes.
        row_offset: Added to a row's index to get the row number in a message.
    """

    def __init__(self, area: memoryview, row_offset: int) -> None:
        """Start with no kind of message written."""
        self._area = area
        self._row_offset = row_offset
        self._written: set[str] = set()

    def set_loaded(self) -> None:
        """Set the flag that says the program has been loaded."""
        self._area[0] = LOADED

    def write(self, kind: str, row: int | None, explain: Callable[[], str]) -> None:
        """Write a message unless one of its kind is written already.

        Args:
            kind: A key of MESSAGE_SLOTS.
            row: Index of the row; None for a message about no row.
            explain: Returns the text. It may run code of the program, which may raise or take long.
        """
        if kind in self._written:
            return
        self._written.add(kind)
        try:
            text = explain()
            message = (text if row is None else f"row {row + self._row_offset}: {text}")[: SLOT_BYTES // 4]
            data = message.encode("utf-8", "replace")[: SLOT_BYTES - 2]
        except BaseException:  # noqa: BLE001
            data = b"an error that cannot be described"
        start = MESSAGE_SLOTS[kind] * SLOT_BYTES
        self._area[start : start + 2 + len(data)] = struct.pack("<H", len(data)) + data
