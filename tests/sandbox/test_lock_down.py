"""A worker that is not confined never receives a program, and no process outlives a run."""

import marshal
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox import bubblewrap, execution, modes, verify_isolation, worker_process
from alchemist_exp.sandbox import zygote as zygote_module
from alchemist_exp.sandbox.base import Sandbox
from alchemist_exp.sandbox.inputs import TextInputs
from alchemist_exp.sandbox.seccomp_filter import RET_ALLOW, Architecture

HONEST = "def label_function(text):\n    return 0\n"
LOOP = "def label_function(text):\n    while True:\n        pass\n"
MakeSandbox = Callable[..., Sandbox]


def _allow_all(machine: str, control_fd: int) -> bytes:
    return (0x06).to_bytes(4, "little") + RET_ALLOW.to_bytes(4, "little")


def test_a_filter_that_denies_nothing(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "build_filter", _allow_all)
    with pytest.raises(SandboxError, match=r"does not deny stat\('/'\)"):
        make_sandbox().check()


@pytest.mark.parametrize("broken", [b"", b"\xff" * 8])
def test_a_malformed_filter(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, broken: bytes) -> None:
    monkeypatch.setattr(execution, "build_filter", lambda machine, control_fd: broken)
    with pytest.raises(SandboxError, match="its program was not run"):
        make_sandbox().check()


def test_a_kernel_without_seccomp(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.uname().machine
    real = execution.ARCHITECTURES[machine]
    fake = Architecture(audit_id=real.audit_id, column=real.column, has_x32=real.has_x32, seccomp=9999)
    monkeypatch.setattr(execution, "ARCHITECTURES", {machine: fake})
    with pytest.raises(SandboxError, match="filter cannot be installed"):
        make_sandbox().check()


LIAR = """
import os, socket, struct, sys
requests = socket.socket(fileno=int(sys.argv[1]))
requests.recv(1 << 20)
requests.sendall({zygote!r})
_, fds, _, _ = socket.recv_fds(requests, 1 << 20, 2)
child = os.fork()
if child == 0:
    control = socket.socket(fileno=fds[1])
    control.sendall({worker!r})
    control.shutdown(socket.SHUT_WR)
    with open({received!r}, 'wb', 0) as file:
        while part := control.recv(99):
            file.write(part)
    os._exit(0)
os.close(fds[1])
socket.send_fds(requests, [{forked}], [os.pidfd_open(child)] if {pidfd} else [])
while requests.recv(99):
    number, status, _ = os.wait4(child, os.WNOHANG)
    requests.sendall(struct.pack('<cid', b'W' if number else b'-', status, 0.0))
"""


def _run_instead(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    code = marshal.dumps([("worker", compile(source, "worker", "exec"))])
    monkeypatch.setattr(zygote_module, "worker_code", lambda: code)


HONEST_FORK = "struct.pack('<ci', b'F', child)"


@pytest.mark.parametrize(
    ("zygote", "forked", "pidfd", "worker"),
    [
        (b"R", HONEST_FORK, True, b"R"),
        (b"R", HONEST_FORK, True, b""),
        (b"R", HONEST_FORK, True, b"E why \x1b[2J not"),
        (b"R", HONEST_FORK, True, b"?"),
        (b"R", HONEST_FORK, False, b"R"),
        (b"R", "struct.pack('<ci', b'F', -1)", True, b"R"),
        (b"R", "struct.pack('<ci', b'E', 12)", False, b"R"),
        (b"R", "b'F'", True, b"R"),
        (b"R", "b'F' * 4000", False, b"R"),
        (b"E why not", HONEST_FORK, True, b"R"),
        (b"nonsense", HONEST_FORK, True, b"R"),
    ],
)
def test_a_zygote_or_worker_that_lies_never_gets_the_program(
    make_sandbox: MakeSandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    zygote: bytes,
    forked: str,
    pidfd: bool,
    worker: bytes,
) -> None:
    received = tmp_path / "received"
    source = LIAR.format(zygote=zygote, forked=forked, pidfd=pidfd, worker=worker, received=str(received))
    _run_instead(monkeypatch, source)
    with pytest.raises(SandboxError, match="its program was not run") as error:
        make_sandbox().execute([HONEST], ["text"], 2)
    assert str(error.value).isprintable()
    assert b"label_function" not in (received.read_bytes() if received.exists() else b"")


def test_a_zygote_that_cannot_be_prepared_leaves_no_descriptor(make_sandbox: MakeSandbox, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise FileNotFoundError("the working directory was deleted")

    monkeypatch.setattr("alchemist_exp.sandbox.execution.Zygote", fail)
    with pytest.raises(FileNotFoundError, match="was deleted"):
        make_sandbox("seccomp").execute([HONEST], ["a"], 2)


def test_an_interpreter_that_does_not_start(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    with pytest.raises(SandboxError, match="cannot be started"):
        make_sandbox().check()


def test_the_last_line_of_a_worker_that_ends_at_once_is_reported(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run_instead(monkeypatch, "raise SystemExit('libpython is missing')\n")
    with pytest.raises(SandboxError, match="libpython is missing"):
        make_sandbox().check()


@pytest.mark.parametrize(("machine", "platform"), [("riscv64", "linux"), ("x86_64", "darwin"), ("AMD64", "win32")])
def test_unsupported_machines_and_systems(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, machine: str, platform: str
) -> None:
    uname = os.uname_result(("system", "node", "release", "version", machine))
    monkeypatch.setattr(os, "uname", lambda: uname)
    monkeypatch.setattr(modes.sys, "platform", platform)
    with pytest.raises(SandboxError, match=r"run (on|in) "):
        make_sandbox().execute([HONEST], ["text"], 2)


def test_a_kernel_that_is_too_old(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for actions in (tmp_path / "absent", tmp_path / "old"):
        (tmp_path / "old").write_text("kill_thread trap errno trace allow\n")
        monkeypatch.setattr(modes, "_SECCOMP_ACTIONS", actions)
        with pytest.raises(SandboxError, match=r"4\.14"):
            make_sandbox().check()


def test_a_kernel_without_process_descriptors(sandbox: Sandbox, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = socket.recv_fds

    def receive_none(*arguments: Any) -> Any:
        data, fds, flags, address = receive(*arguments)
        for fd in fds:
            os.close(fd)
        return data, [], flags, address

    monkeypatch.setattr(socket, "recv_fds", receive_none)
    if mode == "bwrap":
        with pytest.raises(SandboxError, match=r"needs Linux 5\.3"):
            sandbox.check()
        return
    loop = "import re\ndef label_function(t):\n    while t == 'loop': re.sub('', '', '')\n"
    honest, run = sandbox.execute([HONEST, loop], ["loop"], 2)
    assert honest.outcomes == {"vote": 1}
    assert run.outcomes == {"timeout": 1}


def test_in_a_container_the_kernel_must_show_one_more_filter_on_the_worker(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = verify_isolation._read_fields
    filtered = {"Seccomp": "2", "Seccomp_filters": "1", "NoNewPrivs": "1"}
    monkeypatch.setattr(verify_isolation, "_read_fields", lambda path: fields(path) | filtered)
    with pytest.raises(SandboxError, match="no filter on it in addition"):
        make_sandbox().check()


def test_a_worker_with_capabilities_never_gets_a_program(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = verify_isolation._read_fields
    monkeypatch.setattr(verify_isolation, "_read_fields", lambda path: fields(path) | {"CapEff": "0000000000200000"})
    with pytest.raises(SandboxError, match="shows it with capabilities"):
        make_sandbox().check()


def test_memory_that_cannot_be_limited_is_an_error(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> tuple[int, int]:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(worker_process.resource, "prlimit", refuse)
    with pytest.raises(SandboxError, match="Operation not permitted"):
        make_sandbox().check()


def test_the_memory_limit_is_not_raised_above_the_hard_limit(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, limits, hard = resource.prlimit, [], 1 << 30

    def limited(pid: int, limit: int, values: tuple[int, int] | None = None) -> tuple[int, int]:
        if values is None:
            return hard, hard
        limits.append(values)
        return real(pid, limit, values)

    monkeypatch.setattr(worker_process.resource, "prlimit", limited)
    make_sandbox(memory_mb=4096).check()
    assert limits == [(hard, hard)]


def test_missing_resources_of_the_machine_are_one_clear_error(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*arguments: Any, **named: Any) -> Any:
        raise OSError(24, "Too many open files")

    def no_thread(*arguments: Any) -> Any:
        raise RuntimeError("can't start new thread")

    for owner, name, replacement in (
        (execution, "VotesArea", none_left),
        (execution.ThreadPoolExecutor, "submit", no_thread),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, replacement)
            with pytest.raises(SandboxError, match=r"(Too many open files|new thread).*; reduce sandbox\.workers"):
                make_sandbox().check()


def test_a_denied_memory_file_names_what_is_denied(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: Any) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", denied)
    with pytest.raises(SandboxError, match=r"memfd_create fails here \(Operation not permitted\); allow it"):
        make_sandbox().check()


def test_a_second_interrupt_leaves_no_process_either(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutdown, interrupts = execution.ThreadPoolExecutor.shutdown, iter([True])

    def interrupted(self: Any, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if next(interrupts, False):
            raise KeyboardInterrupt
        shutdown(self, wait=wait, cancel_futures=cancel_futures)

    def interrupt(finished: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(execution.ThreadPoolExecutor, "shutdown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_sandbox(init_cpu_s=30.0, call_cpu_s=10.0, stall_s=30.0).execute(
            [HONEST, LOOP], ["text"], 2, on_progress=interrupt
        )


def test_signals_that_the_parent_ignores_or_blocks_reach_workers(make_sandbox: MakeSandbox) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
    try:
        (run,) = make_sandbox().execute(["def label_function(t):\n    while t == 'loop': pass\n"], ["loop"], 2)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGCHLD, before)
    assert run.outcomes == {"timeout": 1}
    assert "CPU time" in run.messages["timeout"]  # not a stall


def _is_orphan(process: psutil.Process) -> bool:
    """Return whether no ancestor belongs to this test run; other tests may be running bubblewrap."""
    try:
        return not any(parent.pid == os.getppid() for parent in process.parents())
    except psutil.NoSuchProcess:
        return False


def test_a_zygote_that_is_ended_while_it_starts_leaves_no_process(mode: str, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(mode)
    isolation = sandbox._isolation()  # type: ignore[attr-defined]
    before = set(psutil.pids())
    for _ in range(8 if mode == "bwrap" else 2):  # bubblewrap is what left a process, in some of its starts
        run = execution._Execution(sandbox, TextInputs(["text"]), 2, isolation)
        with run.load_rows(0) as rows, run.zygote(rows):
            pass
    left = [process for process in psutil.process_iter(["name"]) if process.pid not in before]
    orphans = [process for process in left if process.info["name"] == "bwrap" and _is_orphan(process)]
    # Those of a test in another process end by themselves.
    assert not psutil.wait_procs(orphans, timeout=5)[1]


def test_paths_that_may_not_be_read_are_not_made_visible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def forbidden(self: Path, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", forbidden)
        visible = list(bubblewrap._visible_paths({"LD_LIBRARY_PATH": str(tmp_path / "none")}, [str(tmp_path)]))
    assert str(tmp_path) in visible


def test_an_error_in_the_progress_callback_ends_all_workers(make_sandbox: MakeSandbox) -> None:
    def interrupt(finished: int) -> None:
        raise KeyboardInterrupt

    sandbox = make_sandbox(init_cpu_s=30.0, call_cpu_s=10.0, stall_s=30.0)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sandbox.execute([HONEST, LOOP, LOOP, LOOP], ["text"], 2, on_progress=interrupt)
    assert time.monotonic() - started < 5


SCRIPT = """
import sys
from omegaconf import OmegaConf
from alchemist_exp.sandbox.modes import SeccompSandbox
values = OmegaConf.to_container(OmegaConf.load(sys.argv[1]))
values |= {"workers": 2, "call_cpu_s": 60.0, "stall_s": 120.0}
loop = "def label_function(text):\\n    while text == 'loop':\\n        pass\\n    return 0\\n"
report = lambda finished: print("running", flush=True)
SeccompSandbox(name="seccomp", **values).execute([loop] * 4, ["go", "loop"], 2, on_progress=report)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_parent_that_is_ended_leaves_no_worker(end: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(root / "conf" / "sandbox" / "_limits.yaml")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "running\n"
        (zygote,) = psutil.Process(parent.pid).children()
        workers = zygote.children()
        parent.send_signal(end)
        _, errors = parent.communicate(timeout=20)
    assert len(workers) == 2
    _, alive = psutil.wait_procs([zygote, *workers], timeout=5)
    assert not alive
    assert ("KeyboardInterrupt" in errors) == (end is signal.SIGINT)


WAITER = """
import ctypes, runpy, sys
libc = ctypes.CDLL(None)
address = runpy.run_path(sys.argv[1])["shared_zero"](libc)
print("waiting", flush=True)
libc.syscall(ctypes.c_long(202), ctypes.c_void_p(address), 0, 0, None, None, 0)
print("woken", flush=True)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the hostile program is for x86_64 only")
def test_the_end_of_a_worker_wakes_no_other_process(mode: str, make_sandbox: MakeSandbox) -> None:
    path = Path(__file__).parent / "hostile" / "robust_list_wakes_process.py"
    waiter = subprocess.Popen(
        [sys.executable, "-c", WAITER, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with waiter:
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == "waiting\n"
        while psutil.Process(waiter.pid).status() == psutil.STATUS_RUNNING:  # it has not reached the wait
            time.sleep(0.01)
        make_sandbox(mode).execute([path.read_text()], ["ATTACK"], 2)
        if mode != "none":
            with pytest.raises(subprocess.TimeoutExpired):
                waiter.wait(timeout=0.2)
            waiter.kill()
        assert waiter.stdout.read() == ("woken\n" if mode == "none" else "")  # mode none shows that the attack works


def test_none_needs_consent(make_sandbox: MakeSandbox, caplog: pytest.LogCaptureFixture) -> None:
    sandbox = make_sandbox("none")
    for consent in (False, "???", "yes", 1):
        sandbox.i_accept_untrusted_code = consent  # type: ignore[attr-defined]
        with pytest.raises(SandboxError, match="i_accept_untrusted_code=true"):
            sandbox.check()
        with pytest.raises(SandboxError, match="i_accept_untrusted_code=true"):
            sandbox.execute([HONEST], ["text"], 2)
    assert not caplog.records
    sandbox.i_accept_untrusted_code = True  # type: ignore[attr-defined]
    sandbox.check()
    assert "sandbox=none" in caplog.text
