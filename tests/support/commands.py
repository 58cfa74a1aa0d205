"""Runs a command of the command line in the test's own process, which is faster than a new interpreter."""

import io
import logging
import sys
from collections.abc import Callable

import pytest

from alchemist_exp.cli import apply


def run_command(main: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command that reads sys.argv.

    Args:
        main: The command.
        monkeypatch: Restores sys.argv after the test.
        arguments: The command line.

    Returns:
        The exit code.

    """
    monkeypatch.setattr(sys, "argv", ["alchemist", *arguments])
    level = logging.root.level
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    finally:
        # Hydra configures logging for a process that ends with the command; later tests need their loggers.
        logging.root.setLevel(level)
        for logger in logging.root.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False
    return 0


def apply_lines(monkeypatch: pytest.MonkeyPatch, text: str, *arguments: str) -> int:
    """Run `alchemist apply` on lines of standard input.

    Args:
        monkeypatch: Restores standard input after the test.
        text: The input.
        arguments: The run and options.

    Returns:
        The exit code.

    """
    stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    return run_command(lambda: apply.main(arguments), monkeypatch)
