"""The system calls that a labeling program may make, as a filter that the kernel enforces.

Allowed are memory (never executable, never shared), locks within the process, clocks, signals to the process itself,
and exit. `read` and `write` are allowed on the control descriptor only, which is closed before the program runs. Calls
that only an attack makes end the process. All others, including calls of future kernels, fail with EPERM: a program
that opens a file gets an exception.

The filter is a classic BPF program, see Documentation/userspace-api/seccomp_filter.rst in the Linux sources.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

RET_KILL: Final = 0x80000000  # SECCOMP_RET_KILL_PROCESS
RET_ALLOW: Final = 0x7FFF0000
RET_EPERM: Final = 0x00050001  # SECCOMP_RET_ERRNO with EPERM

# An instruction is (code, jump if true, jump if false, operand). A jump skips that number of instructions. There is one
# register; _LOAD sets it to a 32-bit word of struct seccomp_data, and the conditions compare it with the operand.
_Instruction = tuple[int, int, int, int]
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Positions in struct seccomp_data. An argument has 64 bits: two words, the low one first.
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_PROT_EXEC = 4
_MAP_SHARED = 1  # this bit is also set in MAP_SHARED_VALIDATE
_FUTEX_PRIVATE_FLAG = 128
_X32_BIT = 0x40000000


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How a processor numbers system calls.

    Attributes:
        audit_id: The number by which the kernel names the architecture (AUDIT_ARCH_...).
        column: Index of this architecture in the tables below.
        has_x32: Whether there is a second numbering of the same calls, with bit 30 set.
        seccomp: Number of seccomp(2).
    """

    audit_id: int
    column: int
    has_x32: bool
    seccomp: int


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "x86_64": Architecture(audit_id=0xC000003E, column=0, has_x32=True, seccomp=317),
    "aarch64": Architecture(audit_id=0xC00000B7, column=1, has_x32=False, seccomp=277),
}
"""By the machine's name as uname gives it."""

# name: (x86_64, aarch64); None: the call does not exist there. The tests compare the numbers with the kernel's headers.
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
"""Allowed unless the memory would be executable."""

NOT_SHARED: Final[Mapping[str, tuple[int, int]]] = {"mmap": (9, 222)}
"""Allowed unless the memory would be executable or shared. Shared memory stays after munmap, outside of RLIMIT_AS."""

PRIVATE_ONLY: Final[Mapping[str, tuple[int, int]]] = {"futex": (202, 98)}
"""Allowed within the process. A shared lock on a page of a library would reach every process that maps this library."""

CONTROL_ONLY: Final[Mapping[str, tuple[int, int]]] = {"read": (0, 63), "write": (1, 64)}
"""Allowed on the control descriptor only."""

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
    """Build the filter of one machine.

    Args:
        machine: A key of ARCHITECTURES.
        control_fd: The descriptor that may be read and written.

    Returns:
        An array of struct sock_filter, 8 bytes per instruction.

    Raises:
        KeyError: The machine is unknown.
    """
    architecture = ARCHITECTURES[machine]
    # Calls of another architecture (32-bit calls on x86_64) have other numbers, so every rule below would be wrong.
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture.audit_id),
        (_RETURN, 0, 0, RET_KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    if architecture.has_x32:
        program += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, RET_KILL)]
    allow = [(_RETURN, 0, 0, RET_ALLOW)]
    rules: list[tuple[Mapping[str, tuple[int, int | None]], list[_Instruction]]] = [
        (ALLOWED, allow),
        (NOT_EXECUTABLE, [*_deny(2, _PROT_EXEC, if_set=True), *allow]),
        (NOT_SHARED, [*_deny(2, _PROT_EXEC, if_set=True), *_deny(3, _MAP_SHARED, if_set=True), *allow]),
        (PRIVATE_ONLY, [*_deny(1, _FUTEX_PRIVATE_FLAG, if_set=False), *allow]),
        (CONTROL_ONLY, _allow_if_first_argument_is(control_fd)),
        (KILLED, [(_RETURN, 0, 0, RET_KILL)]),
    ]
    for table, verdict in rules:
        for numbers in table.values():
            number = numbers[architecture.column]
            if number is not None:
                # Other calls skip the verdict, which returns on every path and may load arguments into the register.
                program += [(_IF_EQUAL, 0, len(verdict), number), *verdict]
    program.append((_RETURN, 0, 0, RET_EPERM))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def _deny(argument: int, bit: int, *, if_set: bool) -> list[_Instruction]:
    """EPERM if the low word of an argument (counted from 0) has the bit set, or clear; other calls continue below."""
    condition = (_IF_ANY_BIT, 0, 1, bit) if if_set else (_IF_ANY_BIT, 1, 0, bit)
    return [(_LOAD, 0, 0, _AT_ARGUMENTS + 8 * argument), condition, (_RETURN, 0, 0, RET_EPERM)]


def _allow_if_first_argument_is(value: int) -> list[_Instruction]:
    # Both words are compared: the kernel itself ignores the high word of a descriptor, but nothing needs one.
    return [
        (_LOAD, 0, 0, _AT_ARGUMENTS + 4),
        (_IF_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, _AT_ARGUMENTS),
        (_IF_EQUAL, 0, 1, value),
        (_RETURN, 0, 0, RET_ALLOW),
        (_RETURN, 0, 0, RET_EPERM),
    ]
