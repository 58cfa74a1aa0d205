"""Traced programs report the line at which they ended, and nothing that is not a line of theirs."""

from collections.abc import Callable

from alchemist_exp.sandbox.base import ProgramStatus, Sandbox

MakeSandbox = Callable[..., Sandbox]

TEXTS = ["one", "two words", "stop", "", "loop"]
PROGRAM = """\
import functools

def n_words(text):
    if not text:
        return 0
    return len(text.split())

@functools.cache
def label_function(text):
    if text == "stop":
        raise ValueError(text)
    while text == "loop":
        pass
    if n_words(text) == 1:
        return 1
    return (
        0
    )
"""
# Stops the tracing of its function, and writes to the memory of the lines, which it finds in the frames of the worker.
HOSTILE = """\
def label_function(text):
    try:
        raise ValueError
    except ValueError as error:
        frame = error.__traceback__.tb_frame
    frame.f_trace = None
    while "lines" not in frame.f_locals:
        frame = frame.f_back
    for row in range(len(frame.f_locals["lines"])):
        frame.f_locals["lines"][row] = {line}
    return 1
"""


def test_the_line_of_each_row(mode: str, make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(mode)
    (traced,) = sandbox.execute_traced([PROGRAM], TEXTS, 2)
    (run,) = sandbox.execute([PROGRAM], TEXTS, 2)
    assert traced.status is ProgramStatus.OK
    assert traced.lines is not None
    assert traced.lines[:4].tolist() == [15, 16, 11, 16]
    assert traced.lines[4] in (12, 13)
    assert traced.votes.tolist() == run.votes.tolist() == [1, 0, -1, 0, -1]
    assert traced.outcomes == run.outcomes
    assert run.lines is None


def test_a_line_that_does_not_exist_is_not_reported(make_sandbox: MakeSandbox) -> None:
    sources = [HOSTILE.replace("{line}", number) for number in ("1_000_000", "-5", "2")]
    for run, expected in zip(make_sandbox().execute_traced(sources, ["a", "b"], 2), (0, 0, 2), strict=True):
        assert run.lines is not None
        assert run.lines.tolist() == [expected, expected]
        assert run.votes.tolist() == [1, 1]


def test_no_line_of_a_program_that_does_not_load_or_is_not_python(make_sandbox: MakeSandbox) -> None:
    load_error, builtin = make_sandbox().execute_traced(["import os", "label_function = len"], ["a"], 2)
    assert load_error.lines is None
    assert builtin.lines is not None
    assert builtin.lines.tolist() == [0]
    assert builtin.votes.tolist() == [1]
