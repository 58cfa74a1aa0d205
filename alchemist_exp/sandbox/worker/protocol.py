"""What the parent and its workers agree on: vote codes, the layout of shared memory, and messages on sockets."""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

# Codes in the votes area, in addition to the classes 0, 1, ... and -1 for abstain.
UNSET: Final = -128
EXCEPTION: Final = -2
TIMEOUT: Final = -3
BAD_TYPE: Final = -4
OUT_OF_RANGE: Final = -5

# Codes of the jobs with `WorkerJob.multi_label`: the classes are in the row's mask.
SET: Final = 0
ABSTAINED: Final = -1

# The report follows the votes in the same shared memory. It is divided into slots of equal size: the first holds the
# LOADED flag, each of the others one kind of message (uint16 length, then UTF-8).
REPORT_BYTES: Final = 8192
SLOT_BYTES: Final = 1024
LOADED: Final = 1
LOAD_MESSAGE: Final = "load"
MESSAGE_SLOTS: Final[Mapping[str, int]] = {
    LOAD_MESSAGE: 1,
    "exception": 2,
    "timeout": 3,
    "bad_type": 4,
    "out_of_range": 5,
}

LINE_BYTES: Final = 4
"""Bytes of the line of each row, which follow the report in the jobs with `WorkerJob.trace`."""

MASK_BYTES: Final = 8
"""Bytes of the mask of each row, bit k for class k; masks follow report and lines, with `WorkerJob.multi_label`."""


def masks_at(rows: int, *, trace: bool) -> int:
    """Return the position of the masks in the memory that a worker writes.

    Args:
        rows: Number of rows of the job.
        trace: Whether it has a line for each row.

    Returns:
        The number of bytes of votes, report and lines.
    """
    return rows + REPORT_BYTES + rows * LINE_BYTES * trace


def area_bytes(rows: int, *, trace: bool, multi_label: bool = False) -> int:
    """Return the size of the memory that a worker writes.

    Args:
        rows: Number of rows of the job.
        trace: Whether it has a line for each row.
        multi_label: Whether it has a mask for each row.

    Returns:
        The number of bytes of votes, report, lines and masks.
    """
    return masks_at(rows, trace=trace) + rows * MASK_BYTES * multi_label


# First byte of the message that a zygote or a worker sends after its set-up. The reason follows REFUSED.
READY: Final = b"R"
REFUSED: Final = b"E"

# First byte of a request to the zygote. A ZygoteSetup follows SETUP, a WorkerJob follows FORK, a worker's process ID
# follows WAIT. Each request and each response is one message of a SOCK_SEQPACKET socket.
SETUP: Final = b"S"
FORK: Final = b"F"
WAIT: Final = b"W"
MESSAGE_BYTES: Final = 1 << 17

FORK_RESPONSE: Final = struct.Struct("<ci")
"""FORK and the worker's process ID in the zygote's PID namespace, or REFUSED and an errno. A process descriptor (pidfd)
comes with it if the kernel has them."""
WAIT_RESPONSE: Final = struct.Struct("<cid")
"""WAIT, the wait status and the CPU seconds of a worker that has ended; RUNNING and zeros before that."""
RUNNING: Final = b"-"

# Kinds of rows: how a row is encoded in shared memory, and what a program receives for it.
TEXTS: Final = "texts"
"""UTF-8 (lone surrogates are allowed), then TEXT_END. The program receives a str."""
TEXT_END: Final = "\0"
RECORDS: Final = "records"
"""A JSON object in UTF-8, then TEXT_END, which JSON escapes. The program receives a separate dict."""
SCORES: Final = "scores"
"""float64 values. The program receives a list[float]."""
IMAGES: Final = "images"
"""int32 height and width, then uint8 RGB pixels. The program receives a numpy array of shape (height, width, 3)."""

# The interpreter itself imports these while a program runs (strptime, copying, a warning), so programs may import them.
IMPORTED_BY_INTERPRETER: Final = ("__future__", "_strptime", "copyreg", "encodings", "warnings")


class ZygoteSetup(NamedTuple):
    """What all workers of a zygote have in common; sent as JSON.

    Attributes:
        parent_pid: Process ID of the parent; 0 in a PID namespace, where the parent has no number.
        kind: TEXTS, RECORDS, SCORES or IMAGES.
        rows: Number of rows in shared memory.
        offsets_at: Position in bytes of the rows' offsets in shared memory, int64 of shape (rows + 1,).
        allowed_modules: Modules of the standard library that programs may import.
        extra_modules: Further modules that programs may import.
        module_path: Directories appended to `sys.path` to import `extra_modules`.
    """

    parent_pid: int
    kind: str
    rows: int
    offsets_at: int
    allowed_modules: list[str]
    extra_modules: list[str]
    module_path: list[str]


class WorkerJob(NamedTuple):
    """What one worker does: label the rows first .. first + rows - 1 of the zygote's rows; sent as JSON.

    Attributes:
        first: First row.
        rows: Number of rows, and so of votes.
        reverse: Give the rows to the program in reverse order, and store the votes in that order.
        row_offset: Added to a vote's index to get the row number that a message names.
        n_classes: Number of classes; valid votes are -1 .. n_classes - 1, or with `multi_label` lists of classes.
        call_cpu_s: CPU seconds one call of the program may take.
        init_cpu_s: CPU seconds loading the program may take.
        total_cpu_s: CPU seconds after which the kernel ends the worker (RLIMIT_CPU).
        timeouts_left: Number of timeouts after which the worker stops.
        seccomp_number: Number of the system call seccomp(2) on this machine.
        seccomp_filter: System call filter in hexadecimal; empty for limits only, without a filter.
        trace: Store the line at which the program ended on each row, int32, after the report. It slows calls down.
        multi_label: A vote is a list of classes, which is stored as a mask, int64, after the report and the lines.
    """

    first: int
    rows: int
    reverse: bool
    row_offset: int
    n_classes: int
    call_cpu_s: float
    init_cpu_s: float
    total_cpu_s: int
    timeouts_left: int
    seccomp_number: int
    seccomp_filter: str
    trace: bool
    multi_label: bool
