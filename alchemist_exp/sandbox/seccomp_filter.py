"""The system calls a labeling program may make, as a filter the kernel enforces.

Allowed: memory (never executable, never shared), locks within the process, clocks, signals to oneself, the end. `read`
and `write` work on the control descriptor alone, which is closed before the program is run. Calls that only an attack
makes end the process. All the rest, calls of future kernels included, fail with EPERM, so that a program that opens a
file gets an exception.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

RET_KILL: Final = 0x80000000  # SECCOMP_RET_KILL_PROCESS
RET_ALLOW: Final = 0x7FFF0000
RET_EPERM: Final = 0x00050001  # SECCOMP_RET_ERRNO with EPERM

# The few words of the kernel's filter language that are needed.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Where struct seccomp_data keeps what is asked about; every 64-bit argument is two words, the low one first.
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_PROT_EXEC = 4
_MAP_SHARED = 1  # a bit of MAP_SHARED_VALIDATE too
_FUTEX_PRIVATE_FLAG = 128
_X32_BIT = 0x40000000

_Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How a processor numbers the system calls; a call that does not exist there is left out."""

    audit_id: int
    column: int
    has_x32: bool
    seccomp: int


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "x86_64": Architecture(audit_id=0xC000003E, column=0, has_x32=True, seccomp=317),
    "aarch64": Architecture(audit_id=0xC00000B7, column=1, has_x32=False, seccomp=277),
}
"""By the machine's name as uname gives it."""

# name: (x86_64, aarch64). The tests compare them with the kernel's headers.
ALLOWED: Final[Mapping[str, tuple[int, int | None]]] = {
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "getrandom": (318, 278),
    "rt_sigreturn": (15, 139),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "sigaltstack": (131, 132),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "sched_yield": (24, 124),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrusage": (98, 165),
    "times": (100, 153),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "close": (3, 57),
}
NOT_EXECUTABLE: Final[Mapping[str, tuple[int, int]]] = {"mprotect": (10, 226)}
"""Allowed unless the memory is to be executable."""

NOT_SHARED: Final[Mapping[str, tuple[int, int]]] = {"mmap": (9, 222)}
"""Allowed unless the memory is to be executable, or shared: that would outlive the address space, which is limited."""

PRIVATE_ONLY: Final[Mapping[str, tuple[int, int]]] = {"futex": (202, 98)}
"""Allowed within the process: a lock on a library's page is known to every process that has the library loaded."""

CONTROL_ONLY: Final[Mapping[str, tuple[int, int]]] = {"read": (0, 63), "write": (1, 64)}
"""Allowed on the control descriptor."""

KILLED: Final[Mapping[str, tuple[int, int | None]]] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "kill": (62, 129),
    "tkill": (200, 130),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "open_by_handle_at": (304, 265),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "personality": (135, 92),
    "memfd_create": (319, 279),
}


@cache
def build_filter(machine: str, control_fd: int) -> bytes:
    """Return the filter as struct sock_filter, 8 bytes each. Raises KeyError for a machine not in ARCHITECTURES."""
    architecture = ARCHITECTURES[machine]
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture.audit_id),
        (_RETURN, 0, 0, RET_KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    if architecture.has_x32:
        # A second numbering of the same calls, which would pass by every rule below.
        program += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, RET_KILL)]
    allow = [(_RETURN, 0, 0, RET_ALLOW)]
    for numbers in ALLOWED.values():
        program += _rule(numbers[architecture.column], allow)
    for numbers in NOT_EXECUTABLE.values():
        program += _rule(numbers[architecture.column], [*_refuse_if(2, _PROT_EXEC), *allow])
    for numbers in NOT_SHARED.values():
        program += _rule(
            numbers[architecture.column], [*_refuse_if(2, _PROT_EXEC), *_refuse_if(3, _MAP_SHARED), *allow]
        )
    for numbers in PRIVATE_ONLY.values():
        program += _rule(numbers[architecture.column], [*_refuse_unless(1, _FUTEX_PRIVATE_FLAG), *allow])
    for numbers in CONTROL_ONLY.values():
        program += _rule(numbers[architecture.column], _if_first_argument_is(control_fd))
    for numbers in KILLED.values():
        program += _rule(numbers[architecture.column], [(_RETURN, 0, 0, RET_KILL)])
    program.append((_RETURN, 0, 0, RET_EPERM))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def _rule(number: int | None, verdict: list[_Instruction]) -> list[_Instruction]:
    """`verdict` for one system call; it must return on every way through."""
    return [] if number is None else [(_IF_EQUAL, 0, len(verdict), number), *verdict]


def _refuse_if(argument: int, bit: int) -> list[_Instruction]:
    """EPERM for calls whose argument, counted from 0, has a bit of its low word set; others go on below."""
    return [(_LOAD, 0, 0, _AT_ARGUMENTS + 8 * argument), (_IF_ANY_BIT, 0, 1, bit), (_RETURN, 0, 0, RET_EPERM)]


def _refuse_unless(argument: int, bit: int) -> list[_Instruction]:
    """EPERM for calls whose argument lacks the bit; others go on below."""
    return [(_LOAD, 0, 0, _AT_ARGUMENTS + 8 * argument), (_IF_ANY_BIT, 1, 0, bit), (_RETURN, 0, 0, RET_EPERM)]


def _if_first_argument_is(value: int) -> list[_Instruction]:
    return [
        (_LOAD, 0, 0, _AT_ARGUMENTS + 4),
        (_IF_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, _AT_ARGUMENTS),
        (_IF_EQUAL, 0, 1, value),
        (_RETURN, 0, 0, RET_ALLOW),
        (_RETURN, 0, 0, RET_EPERM),
    ]
