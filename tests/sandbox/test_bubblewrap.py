"""bwrap refuses to run where it does not work; auto uses what works, logs it, and is never weaker than seccomp."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox import bubblewrap, verify_isolation
from alchemist_exp.sandbox.base import Sandbox

HONEST = "def label_function(text):\n    return 0\n"
MakeSandbox = Callable[..., Sandbox]


@pytest.fixture
def no_bwrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def bwrap_without_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")


@pytest.fixture
def bwrap() -> None:
    try:
        bubblewrap.require_namespaces()
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("no_bwrap")
def test_missing_bubblewrap_is_an_error_with_the_install_command(make_sandbox: MakeSandbox) -> None:
    for use in (lambda sandbox: sandbox.check(), lambda sandbox: sandbox.execute([HONEST], ["text"], 2)):
        with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
            use(make_sandbox("bwrap"))


@pytest.mark.usefixtures("bwrap_without_permission")
def test_missing_namespaces_are_an_error_that_says_how_to_allow_them(make_sandbox: MakeSandbox) -> None:
    with pytest.raises(SandboxError, match=r"No permissions.*max_user_namespaces"):
        make_sandbox("bwrap").check()


@pytest.mark.usefixtures("no_bwrap")
def test_auto_without_bubblewrap_is_seccomp_and_logs_it(
    make_sandbox: MakeSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = make_sandbox("auto")
    sandbox.check()
    assert sandbox.effective_mode == "seccomp"
    assert sandbox.cache_key() == make_sandbox().cache_key()
    assert "sandbox=auto uses seccomp" in caplog.text


@pytest.mark.usefixtures("bwrap")
def test_auto_with_bubblewrap_is_bwrap(make_sandbox: MakeSandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sandbox = make_sandbox("auto")
    sandbox.check()
    assert sandbox.effective_mode == "bwrap"
    assert sandbox.cache_key() == make_sandbox("bwrap").cache_key()
    assert "sandbox=auto uses bwrap" in caplog.text


@pytest.mark.usefixtures("bwrap")
def test_auto_does_not_fall_back_after_its_choice(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = make_sandbox("auto")
    sandbox.check()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxError, match="bubblewrap"):
        sandbox.execute([HONEST], ["text"], 2)


def test_auto_is_never_none(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    uname = os.uname_result(("system", "node", "release", "version", "riscv64"))
    monkeypatch.setattr(os, "uname", lambda: uname)
    with pytest.raises(SandboxError, match="sandbox=auto supports"):
        make_sandbox("auto").check()


@pytest.mark.usefixtures("bwrap")
def test_a_worker_that_shares_namespaces_gets_no_program(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_isolation, "_namespace", lambda pid, name: name)
    with pytest.raises(SandboxError, match="shares namespaces"):
        make_sandbox("bwrap").check()


@pytest.mark.usefixtures("bwrap")
def test_few_paths_are_visible(tmp_path: Path) -> None:
    command = bubblewrap.command_in_namespaces(["true"], {"A": "b"}, [str(tmp_path)])
    visible = [command[i + 1] for i, word in enumerate(command) if word == "--ro-bind"]
    assert str(tmp_path) in visible
    assert not {"/", "/etc", "/home", "/proc", "/dev", "/var", "/tmp"} & set(visible)
