"""A cap in USD for all runs that share an outputs directory.

Before a call, the most it may cost is reserved. After the call, what it did cost is settled. Spent and reserved USD
together stay within the cap, however many processes write at the same time, unless a call costs more than its
reservation. The ledger counts over its whole life, not per run.

A reservation ends in one of three ways:

- `settle`: the call was, or may have been, paid for. The cost replaces the reserved amount.
- `release`: the call was not paid for. The amount is free again.
- Its process dies first. The provider may charge for the call, so the amount counts as spent for good, unless a run
  that continues the same call replaces the reservation (`replace=True`).

The ledger is a file of JSON lines and not an SQLite database. Both survive a killed process. After a power failure,
only the last lines of the file may be missing, while a database without fsync (`synchronous=OFF`) may be unreadable as
a whole, and one with fsync takes more than 50 times as long per call. SQLite's waiting is not fair either: with four
writers, the longest wait was more than ten times as long as with flock. Its write-ahead log, which is faster, does not
work on network file systems.
"""

import dataclasses
import functools
import math
import secrets
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.event_log import EventLog
from alchemist_exp.core.processes import ProcessIdentity

_FOREIGN_PROCESS_S = 24 * 60 * 60
"""Seconds for which a process on another host, which cannot be checked from here, counts as alive."""

_ROUNDING_USD = 1e-9
"""The rounding error that sums of amounts may have."""


class BudgetError(LLMError):
    """The budget does not allow another call."""


@dataclass(kw_only=True)
class Budget:
    """The `budget` section of the configuration.

    Attributes:
        usd: What all runs that share `paths.outputs` may spend together, in USD; None for no cap.

    """

    usd: float | None = MISSING

    def __post_init__(self) -> None:
        """Check that the cap is positive."""
        if self.usd is not None and not 0 < self.usd < math.inf:
            raise ConfigError(f"budget.usd is {self.usd:g}; expected USD above 0, or null for no cap.")


class Reservation:
    """USD that are set aside for one call. Close it once, by `settle` or by `release`.

    Attributes:
        usd: The amount that was reserved.

    """

    def __init__(self, ledger: "BudgetLedger", id_: str, usd: float) -> None:
        """Refer to the reservation `id_`, which the ledger has entered."""
        self.usd = usd
        self._ledger = ledger
        self._id = id_
        self._closed = False

    def settle(self, usd: float) -> None:
        """Enter what the call cost, which replaces the reserved amount.

        Args:
            usd: The cost in USD, or `self.usd` if the provider did not meter the call.

        Raises:
            ValueError: The reservation is closed, or the amount is not valid.

        """
        self._close({"event": "settle", "id": self._id, "usd": _valid_amount(usd)})

    def settle_part(self, usd: float) -> None:
        """Enter what a part of the call cost, and reduce the reserved amount by it.

        Args:
            usd: The cost of this part in USD.

        """
        self._ledger.enter({"event": "part", "id": self._id, "usd": _valid_amount(usd)})

    def release(self) -> None:
        """Free the rest of the reserved amount, because it was not paid."""
        self._close({"event": "release", "id": self._id})

    def _close(self, event: dict[str, Any]) -> None:
        if self._closed:
            raise ValueError("a reservation is settled or released once")
        self._ledger.enter(event)
        self._closed = True


@dataclass(frozen=True, kw_only=True)
class _OpenReservation:
    """A reservation that is neither settled nor released. time: when it was made, in seconds since 1970."""

    usd: float
    description: str
    process: ProcessIdentity
    time: float


@dataclass(frozen=True, kw_only=True)
class BudgetTotals:
    """The sums of a ledger in USD.

    Attributes:
        spent: What settled calls have cost.
        unsettled: The most that the calls of dead processes have cost. It counts as spent.
        reserved: What is reserved for calls in flight.

    """

    spent: float
    unsettled: float
    reserved: float


class BudgetLedger:
    """The budget ledger: reservations and payments of all runs, as events in one file.

    An operation takes about 0.1 ms, so it may run on the event loop. Threads may share a ledger. An unfinished last
    line, which a killed process has left, is ignored: it is a reservation that was never used, or a settlement whose
    reservation then counts in full. Any other line that cannot be read is a StoreError.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Create a ledger without opening its file.

        Args:
            path: The file of JSON lines. It is created by the first operation.
            clock: Returns the seconds since 1970.

        """
        self._clock = clock
        self._log = EventLog(path, name="the budget ledger", reset=self._reset, apply=self._apply)
        self._reset()

    @property
    def path(self) -> Path:
        """The file that has the entries."""
        return self._log.path

    def reserve(
        self, usd: float, cap_usd: float | None, description: str, *, replace: bool = False
    ) -> Reservation | None:
        """Reserve the most that a call may cost.

        Args:
            usd: The amount in USD.
            cap_usd: What all runs may spend together, in USD; None for no cap. Runs without a cap are counted too.
            description: What the amount is for: the key of a request, or the name of a batch.
            replace: Whether this reservation replaces those with the same description of dead processes and of this
                process. The same call continues then, and is not paid for twice.

        Returns:
            The reservation, or None if other calls in flight have reserved the rest of the budget. They may cost less
            than they have reserved, so try again a little later.

        Raises:
            BudgetError: The budget is spent.
            StoreError: The ledger cannot be read or written.

        """
        usd, cap = _valid_amount(usd), math.inf if cap_usd is None else cap_usd
        with self._log.locked() as append:
            this_process, dead = ProcessIdentity.current(), self._dead()
            replaced = {
                id_
                for id_, reservation in self._open.items()
                if replace and reservation.description == description
                if id_ in dead or reservation.process == this_process
            }
            totals = self._sum_up(dead, without=replaced)
            used = totals.spent + totals.unsettled
            if used + usd > cap + _ROUNDING_USD:
                raise BudgetError(_refusal(usd, cap, totals))
            if used + totals.reserved + usd > cap + _ROUNDING_USD:
                return None
            id_ = secrets.token_hex(8)
            event = {"event": "reserve", "id": id_, "usd": usd, "what": description, "time": self._clock()}
            releases = [{"event": "release", "id": replaced_id} for replaced_id in replaced]
            # In one append: a process that is killed here leaves both the new reservation and the releases, or neither.
            append(event | dataclasses.asdict(this_process), *releases)
        return Reservation(self, id_, usd)

    def totals(self) -> BudgetTotals:
        """Return the sums of all runs that share the ledger."""
        with self._log.locked():
            return self._sum_up(self._dead())

    def enter(self, event: dict[str, Any]) -> None:
        """Append the event that closes a reservation, or a part of it. Only `Reservation` calls this.

        Args:
            event: The event, with the id of the reservation.

        """
        with self._log.locked() as append:
            append(event)

    def _reset(self) -> None:
        self._spent = 0.0
        self._open: dict[str, _OpenReservation] = {}

    def _apply(self, event: dict[str, Any]) -> None:
        """Apply one event to the sums. ValueError, KeyError or TypeError if it is not valid."""
        id_ = str(event["id"])
        match event["event"]:
            case "reserve":
                self._open[id_] = _OpenReservation(
                    usd=_valid_amount(event["usd"]),
                    description=str(event["what"]),
                    process=ProcessIdentity(
                        host=str(event["host"]),
                        pid=int(event["pid"]),
                        start=None if event["start"] is None else int(event["start"]),
                    ),
                    time=float(event["time"]),
                )
            case "settle":
                self._spent += _valid_amount(event["usd"])
                self._open.pop(id_, None)
            case "part":
                part_usd = _valid_amount(event["usd"])
                self._spent += part_usd
                if reservation := self._open.get(id_):
                    self._open[id_] = dataclasses.replace(reservation, usd=max(0.0, reservation.usd - part_usd))
            case "release":
                self._open.pop(id_, None)
            case other:
                raise ValueError(f"unknown event {other!r}")

    def _sum_up(self, dead: Set[str], without: Set[str] = frozenset()) -> BudgetTotals:
        """Sum up. dead: ids of open reservations of dead processes. without: ids of those that are not counted."""
        counted = {id_: reservation.usd for id_, reservation in self._open.items() if id_ not in without}
        return BudgetTotals(
            spent=self._spent,
            unsettled=sum(usd for id_, usd in counted.items() if id_ in dead),
            reserved=sum(usd for id_, usd in counted.items() if id_ not in dead),
        )

    def _dead(self) -> Set[str]:
        """Return the ids of the open reservations whose processes are dead."""
        is_alive = functools.cache(ProcessIdentity.is_alive)  # most reservations have the same few processes
        dead = set()
        for id_, reservation in self._open.items():
            if (alive := is_alive(reservation.process)) is None:
                alive = self._clock() - reservation.time < _FOREIGN_PROCESS_S
            if not alive:
                dead.add(id_)
        return dead


def _valid_amount(usd: float) -> float:
    if not isinstance(usd, int | float) or not 0 <= usd < math.inf:
        raise ValueError(f"invalid amount {usd!r}; expected USD, 0 or more")
    return usd


def _refusal(usd: float, cap: float, totals: BudgetTotals) -> str:
    if usd > cap + _ROUNDING_USD:
        return (
            f"one call may cost {_format_usd(usd)}, more than the whole budget of {_format_usd(cap)}; raise budget.usd "
            "or lower llm.max_output_tokens."
        )
    killed = f", at most {_format_usd(totals.unsettled)} spent by jobs that were killed" if totals.unsettled else ""
    return (
        f"the budget of {_format_usd(cap)} is used up ({_format_usd(totals.spent)} spent{killed}, "
        f"{_format_usd(totals.reserved)} reserved for calls in flight, {_format_usd(usd)} needed); raise budget.usd "
        "and run again: responses that were paid for are kept."
    )


def _format_usd(usd: float) -> str:
    """Format an amount to the cent, or to the millionth of a dollar if these digits are not zero."""
    cents, rest = f"{usd:,.6f}"[:-4], f"{usd:.6f}"[-4:].rstrip("0")
    return f"${cents}{rest}"
