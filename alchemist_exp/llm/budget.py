"""A cap in dollars over all jobs that share an outputs folder.

Before a call the most it may cost is reserved, afterwards what it did cost is settled. Spent and reserved dollars
together stay within the cap, however many processes write, unless a call costs more than was reserved for it. Spending
is counted over the life of the ledger, not of one run.

A process that was killed between the two may have been paid for: what it reserved counts as spent for good. Nothing
here is proof against a power cut, which may take the last lines.
"""

import dataclasses
import errno
import fcntl
import json
import math
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import explain_write_errors
from alchemist_exp.core.errors import ConfigError, LLMError, StoreError

_FOREIGN_S = 24 * 60 * 60
"""Seconds for which a process on another host, which cannot be seen from here, counts as living."""

_DUST_USD = 1e-9
"""What sums of floats may be off by."""


class BudgetError(LLMError):
    """The budget does not allow another call."""


@dataclass(kw_only=True)
class Budget:
    """The `budget` section. usd: what all jobs that share paths.outputs may spend; None for no cap."""

    usd: float | None = MISSING

    def __post_init__(self) -> None:
        if self.usd is not None and not 0 < self.usd < math.inf:
            raise ConfigError(f"budget.usd is {self.usd:g}; dollars above 0, or null for no cap, are needed.")


class Reservation:
    """Dollars set aside for one call: `settle` it if the call was or may have been paid for, else `release` it.

    Neither: it counts as reserved while its process lives, and as spent afterwards.
    """

    def __init__(self, ledger: "BudgetLedger", id_: str, usd: float) -> None:
        self.usd = usd
        self._ledger = ledger
        self._id = id_
        self._closed = False

    def settle(self, usd: float) -> None:
        """Enters what the call has cost, which replaces what was reserved; `self.usd` where it was not metered."""
        self._close({"event": "settle", "id": self._id, "usd": _checked(usd)})

    def settle_part(self, usd: float) -> None:
        """Enters what a part of the call has cost, and sets as much less aside."""
        self._ledger._enter({"event": "part", "id": self._id, "usd": _checked(usd)})

    def release(self) -> None:
        """Gives what is left of the reservation back: it was not paid."""
        self._close({"event": "release", "id": self._id})

    def _close(self, event: dict[str, Any]) -> None:
        if self._closed:
            raise ValueError("a reservation is settled or released once")
        self._ledger._enter(event)
        self._closed = True


@dataclass(frozen=True, kw_only=True)
class _Holder:
    """A process. start: when it began, in ticks since the host's boot, since pids are given out again."""

    host: str
    pid: int
    start: int | None


@dataclass(frozen=True, kw_only=True)
class _Open:
    """A reservation that is neither settled nor released. time: in seconds since 1970."""

    usd: float
    description: str
    holder: _Holder
    time: float


@dataclass(frozen=True, kw_only=True)
class _Totals:
    """Dollars: settled; reserved by processes that are dead, and by living ones."""

    spent: float
    unsettled: float
    reserved: float


class BudgetLedger:
    """The account in the file `path`: one line of JSON for each event, only ever appended, under an exclusive flock.

    A line that a killed writer left unfinished is cut off: a reservation nobody has used, or a settlement without
    which the reservation counts in full. Any other broken line is a StoreError. Threads may share a ledger, since
    each opening of the file has its own lock; it is held for as long as it takes to read what is new and to write a
    line, so a coroutine may use it too.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._forget()

    def reserve(
        self, usd: float, cap_usd: float | None, description: str, *, replace: bool = False
    ) -> Reservation | None:
        """Sets `usd`, the most that the call `description` may cost, aside.

        replace: in place of what a dead process, or this one, has set aside for `description`: the call goes on and is
        not paid twice.

        cap_usd: None for no cap; jobs that have one count the call all the same. Returns None when the dollars are
        held by calls under way: they may cost less than is reserved for them, so try again a little later.
        BudgetError when they are spent.
        """
        usd, cap = _checked(usd), math.inf if cap_usd is None else cap_usd
        with self._opened() as file:
            starts: dict[int, int | None] = {}
            superseded = self._left_open(description) if replace else {}
            totals = self._totals()
            dead_usd = sum(usd for id_, usd in superseded.items() if not self._living(self._open[id_], starts))
            used = totals.spent + totals.unsettled - dead_usd
            if used + usd > cap + _DUST_USD:
                raise BudgetError(_refusal(usd, cap, totals))
            reserved = totals.reserved - (sum(superseded.values()) - dead_usd)
            if used + reserved + usd > cap + _DUST_USD:
                return None
            for id_ in superseded:
                self._append(file, {"event": "release", "id": id_})
            holder, id_ = _this_process(), secrets.token_hex(8)
            event = {"event": "reserve", "id": id_, "usd": usd, "what": description, "time": self._clock()}
            self._append(file, event | {"host": holder.host, "pid": holder.pid, "start": holder.start})
        return Reservation(self, id_, usd)

    def _left_open(self, description: str) -> dict[str, float]:
        """The reservations for `description` of dead processes and of this one: dollars by id."""
        starts: dict[int, int | None] = {}
        us = _this_process()
        return {
            id_: held.usd
            for id_, held in self._open.items()
            if held.description == description and (held.holder == us or not self._living(held, starts))
        }

    @property
    def spent_usd(self) -> float:
        """What all calls together have cost."""
        with self._opened():
            return self._totals().spent

    @property
    def reserved_usd(self) -> float:
        """What is set aside for calls under way."""
        with self._opened():
            return self._totals().reserved

    @property
    def unsettled_usd(self) -> float:
        """The most that the calls of dead processes have cost; counts against the cap as spent."""
        with self._opened():
            return self._totals().unsettled

    def _forget(self) -> None:
        self._file: tuple[int, int] | None = None
        self._offset = self._lines = 0
        self._spent = 0.0
        self._open: dict[str, _Open] = {}

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The locked file, all that others have appended taken in."""
        with explain_write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._take_in(file)
                yield file
            finally:
                os.close(file)

    def _enter(self, event: dict[str, Any]) -> None:
        with self._opened() as file:
            self._append(file, event)

    def _append(self, file: int, event: dict[str, Any]) -> None:
        """Writes a line at once. It is not synced: a killed process loses nothing, only a power cut could."""
        line = json.dumps(event, allow_nan=False).encode() + b"\n"
        if os.write(file, line) < len(line):
            os.ftruncate(file, self._offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _take_in(self, file: int) -> None:
        """Reads what is new since last time; all, where the file is another or has become shorter."""
        status = os.fstat(file)
        if self._file != (status.st_dev, status.st_ino) or status.st_size < self._offset:
            self._forget()
            self._file = status.st_dev, status.st_ino
        *lines, torn = _read(file, self._offset, status.st_size).split(b"\n")
        for line in lines:
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise StoreError(
                    f"{self.path} is broken in line {self._lines + 1} ({error}); delete that line, which counts no "
                    "longer then, and run again."
                ) from error
            self._lines += 1
            self._offset += len(line) + 1
        if torn:
            os.ftruncate(file, self._offset)

    def _apply(self, event: dict[str, Any]) -> None:
        id_ = str(event["id"])
        match event["event"]:
            case "reserve":
                holder = _Holder(host=event["host"], pid=int(event["pid"]), start=event["start"])
                self._open[id_] = _Open(
                    usd=_checked(event["usd"]), description=str(event["what"]), holder=holder, time=float(event["time"])
                )
            case "settle":
                self._spent += _checked(event["usd"])
                self._open.pop(id_, None)
            case "part":
                part = _checked(event["usd"])
                self._spent += part
                if held := self._open.get(id_):
                    self._open[id_] = dataclasses.replace(held, usd=max(0.0, held.usd - part))
            case "release":
                self._open.pop(id_, None)
            case other:
                raise ValueError(f"the event {other!r} is unknown")

    def _totals(self) -> _Totals:
        starts: dict[int, int | None] = {}
        unsettled = reserved = 0.0
        for held in self._open.values():
            if self._living(held, starts):
                reserved += held.usd
            else:
                unsettled += held.usd
        return _Totals(spent=self._spent, unsettled=unsettled, reserved=reserved)

    def _living(self, held: _Open, starts: dict[int, int | None]) -> bool:
        """Whether the process that holds a reservation lives. starts: when processes began, filled as they are seen."""
        holder = held.holder
        if holder.host != socket.gethostname():
            return self._clock() - held.time < _FOREIGN_S
        if holder.pid not in starts:
            starts[holder.pid] = _start_of(holder.pid)
        return holder.start is not None and starts[holder.pid] == holder.start


def _read(file: int, start: int, end: int) -> bytes:
    """The bytes from `start` to `end`; one read brings 2 GiB at most."""
    parts = []
    while start < end and (part := os.pread(file, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _checked(usd: float) -> float:
    if not isinstance(usd, int | float) or not 0 <= usd < math.inf:
        raise ValueError(f"{usd!r} is no sum in dollars")
    return usd


def _this_process() -> _Holder:
    pid = os.getpid()
    return _Holder(host=socket.gethostname(), pid=pid, start=_start_of(pid))


def _start_of(pid: int) -> int | None:
    """When a process of this host began; None where it is dead or cannot be seen, as from another container."""
    try:
        # The name before the last bracket may hold blanks and brackets of its own.
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def _refusal(usd: float, cap: float, totals: _Totals) -> str:
    if usd > cap + _DUST_USD:
        return (
            f"one call may cost {_shown(usd)}, more than the whole budget of {_shown(cap)}; raise budget.usd or lower "
            "llm.max_output_tokens."
        )
    killed = f", {_shown(totals.unsettled)} at most by jobs that were killed" if totals.unsettled else ""
    return (
        f"the budget of {_shown(cap)} is used up ({_shown(totals.spent)} spent{killed}, {_shown(totals.reserved)} "
        f"reserved for calls under way, {_shown(usd)} needed); raise budget.usd and run again: what was paid for is "
        "kept."
    )


def _shown(usd: float) -> str:
    """To the cent, or to the millionth of a dollar where that says more."""
    cents, rest = f"{usd:,.6f}"[:-4], f"{usd:.6f}"[-4:].rstrip("0")
    return f"${cents}{rest}"
