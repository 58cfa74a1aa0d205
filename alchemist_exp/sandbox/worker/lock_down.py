"""Takes from a worker, for the rest of its life, everything but memory, time and its control socket."""

import ctypes
import os
import resource
import signal
import struct

from alchemist_exp.sandbox.worker.protocol import WorkerJob

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
# Landlock has the same system call numbers on every processor.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF, _LANDLOCK_CREATE_RULESET_VERSION = 444, 446, 1
# Numbers of set_robust_list(2) and set_tid_address(2), for which the C library has no functions.
_SET_ROBUST_LIST, _SET_TID_ADDRESS = (99, 96) if os.uname().machine == "aarch64" else (273, 218)
_SIZE_OF_ROBUST_LIST_HEAD = 24


def end_with_parent(libc: ctypes.CDLL) -> None:
    """Have the kernel end this process as soon as its parent ends.

    Args:
        libc: The C library.

    Raises:
        OSError: The kernel refuses.
    """
    _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)


def lock_down(libc: ctypes.CDLL, job: WorkerJob, control_fd: int) -> None:
    """Set limits, drop all rights, close all descriptors and install the system call filter.

    The order matters, because steps need what later steps take away: Landlock needs a new descriptor, which a limit of
    0 descriptors denies, and all steps need system calls that the filter denies.

    Args:
        libc: The C library.
        job: Limits and filter; without a filter neither Landlock nor seccomp is used.
        control_fd: The one descriptor that stays open.

    Raises:
        OSError: A step fails, or the installed filter does not deny stat(2).
    """
    for name in ("RLIMIT_FSIZE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NPROC"):
        _set_limit(getattr(resource, name), 0)
    # 1, not 0: the kernel ignores 0 when core dumps are piped to a program, and skips the dump at 1.
    _set_limit(resource.RLIMIT_CORE, 1)
    _set_limit(resource.RLIMIT_CPU, job.total_cpu_s)
    # Capabilities of root would permit more behind allowed system calls, for example madvise on shared pages.
    if libc.capset(struct.pack("<Ii", _CAPABILITY_VERSION_3, 0), bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")
    # Without capabilities, seccomp(2) and Landlock accept only a process that can gain no privileges by execve.
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    if job.seccomp_filter:
        _restrict_paths(libc)
    os.closerange(0, control_fd)
    os.closerange(control_fd + 1, max(1 << 16, control_fd + 1))
    _set_limit(resource.RLIMIT_NOFILE, 0)
    if job.seccomp_filter:
        _wake_nobody_at_exit(libc)
        _install_filter(libc, job.seccomp_number, bytes.fromhex(job.seccomp_filter))
        try:
            os.stat("/")  # noqa: PTH116
        except PermissionError:
            return
        raise OSError("the system call filter is installed but does not deny stat('/')")


def _set_limit(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    # prctl is variadic and reads unsigned longs: ctypes would pass a plain int as 32 bits, so each value is typed.
    zero = ctypes.c_ulong(0)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")


def _restrict_paths(libc: ctypes.CDLL) -> None:
    """Deny all paths with Landlock and, if the kernel can, TCP and signals: a second barrier behind the filter.

    Nothing depends on it, so a kernel without Landlock is no error.
    """
    version = libc.syscall(
        ctypes.c_long(_LANDLOCK_CREATE_RULESET),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint32(_LANDLOCK_CREATE_RULESET_VERSION),
    )
    if version < 1:
        return
    # struct landlock_ruleset_attr: bits of handled file rights, of network rights (version 4) and of scopes (version
    # 6). A handled right without a rule that allows it is denied everywhere.
    file_rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    fields = [(1 << file_rights) - 1, *([3] if version >= 4 else []), *([3] if version >= 6 else [])]
    rules = struct.pack(f"{len(fields)}Q", *fields)
    fd = libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), rules, ctypes.c_size_t(len(rules)), ctypes.c_uint32(0))
    if fd >= 0:
        libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT_SELF), ctypes.c_int(fd), ctypes.c_uint32(0))
        os.close(fd)


def _wake_nobody_at_exit(libc: ctypes.CDLL) -> None:
    """Have the kernel forget the two addresses at which it wakes waiting threads when this process ends.

    The C library registered them, and they are in memory that a program can write. The kernel wakes waiters of *every*
    process that maps the same page, without a system call that the filter could see.
    """
    zero = ctypes.c_void_p(None)
    if libc.syscall(ctypes.c_long(_SET_ROBUST_LIST), zero, ctypes.c_size_t(_SIZE_OF_ROBUST_LIST_HEAD)) != 0:
        raise OSError(ctypes.get_errno(), "the list of robust locks cannot be removed")
    libc.syscall(ctypes.c_long(_SET_TID_ADDRESS), zero)  # always succeeds, and returns the thread's number


def _install_filter(libc: ctypes.CDLL, seccomp_number: int, instructions: bytes) -> None:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    # struct sock_fprog: the number of instructions of 8 bytes, padding, a pointer to them.
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(instructions) // 8, ctypes.addressof(code)))
    # TSYNC puts the filter on every thread of the process, should an imported module have started one.
    mode, flags = ctypes.c_uint(_SECCOMP_SET_MODE_FILTER), ctypes.c_uint(_SECCOMP_FILTER_FLAG_TSYNC)
    if libc.syscall(ctypes.c_long(seccomp_number), mode, flags, program) != 0:
        raise OSError(ctypes.get_errno(), "the system call filter cannot be installed")
