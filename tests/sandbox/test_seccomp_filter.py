"""Runs the filter in a small BPF interpreter, on system calls that no test could make."""

import re
import struct
from pathlib import Path

import pytest

from alchemist_exp.sandbox import seccomp_filter
from alchemist_exp.sandbox.seccomp_filter import ARCHITECTURES, RET_ALLOW, RET_EPERM, RET_KILL, build_filter

CONTROL = 5
MACHINES = sorted(ARCHITECTURES)
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
TABLES = (
    seccomp_filter.ALLOWED,
    seccomp_filter.NOT_EXECUTABLE,
    seccomp_filter.NOT_SHARED,
    seccomp_filter.PRIVATE_ONLY,
    seccomp_filter.CONTROL_ONLY,
    seccomp_filter.KILLED,
)


def verdict(machine: str, number: int, *arguments: int, audit_id: int | None = None) -> int:
    filled = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, audit_id or ARCHITECTURES[machine].audit_id, 0, *filled)
    program = list(struct.iter_unpack("HBBI", build_filter(machine, CONTROL)))
    position = register = 0
    while True:
        code, if_true, if_false, value = program[position]
        position += 1
        match code:
            case 0x20:
                (register,) = struct.unpack_from("<I", data, value)
            case 0x15:
                position += if_true if register == value else if_false
            case 0x35:
                position += if_true if register >= value else if_false
            case 0x45:
                position += if_true if register & value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"instruction {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_that_is_not_listed_fails(machine: str) -> None:
    column = ARCHITECTURES[machine].column
    expected: dict[int | None, int] = {}
    results = (RET_ALLOW, RET_ALLOW, RET_ALLOW, RET_EPERM, RET_EPERM, RET_KILL)
    for table, result in zip(TABLES, results, strict=True):
        expected |= {numbers[column]: result for numbers in table.values()}
    for number in range(1024):
        assert verdict(machine, number) == expected.get(number, RET_EPERM), number


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_is_never_executable(machine: str) -> None:
    for numbers in (*seccomp_filter.NOT_EXECUTABLE.values(), *seccomp_filter.NOT_SHARED.values()):
        number = numbers[ARCHITECTURES[machine].column]
        for protection in range(8):
            assert verdict(machine, number, 0, 4096, protection) == (RET_EPERM if protection & 4 else RET_ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_is_never_shared(machine: str) -> None:
    number = seccomp_filter.NOT_SHARED["mmap"][ARCHITECTURES[machine].column]
    for flags in range(64):
        assert verdict(machine, number, 0, 4096, 3, flags) == (RET_EPERM if flags & 1 else RET_ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
def test_locks_are_private(machine: str) -> None:
    number = seccomp_filter.PRIVATE_ONLY["futex"][ARCHITECTURES[machine].column]
    for operation in range(512):
        assert verdict(machine, number, 4096, operation) == (RET_ALLOW if operation & 128 else RET_EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_read_and_write_work_on_the_control_descriptor_only(machine: str) -> None:
    for numbers in seccomp_filter.CONTROL_ONLY.values():
        number = numbers[ARCHITECTURES[machine].column]
        for fd in (0, 1, 2, 4, 6, CONTROL + (1 << 32), (1 << 64) - 1):
            assert verdict(machine, number, fd) == RET_EPERM
        assert verdict(machine, number, CONTROL) == RET_ALLOW


def test_calls_of_other_numberings_end_the_process() -> None:
    for number in range(512):
        assert verdict("x86_64", 0x40000000 | number) == RET_KILL
        assert verdict("x86_64", number, audit_id=0x40000003) == RET_KILL  # 32-bit calls
        assert verdict("aarch64", number, audit_id=0x40000028) == RET_KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_equal_those_of_the_kernel_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    definitions = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text(), re.M)
    kernel = {name: int(number) for name, number in reversed(definitions)}
    column = ARCHITECTURES[machine].column
    for table in TABLES:
        for name, numbers in table.items():
            assert kernel.get(name) == numbers[column], name
    assert kernel["seccomp"] == ARCHITECTURES[machine].seccomp


def test_no_call_is_in_two_tables() -> None:
    names = [name for table in TABLES for name in table]
    assert len(names) == len(set(names))
