"""Records the line at which a program's function ends, for `WorkerJob.trace`; other jobs do not use this module."""

import sys
import types
from collections.abc import Callable
from typing import Any


def trace_lines(label: Callable[[Any], object], lines: memoryview, filename: str) -> Callable[[Any], object]:
    """Return a function that labels like `label` and stores, call by call, the line at which the program ended.

    Args:
        label: The program's label_function.
        lines: int32 values, one per call; 0 stays where no line is known.
        filename: The file name of the program's code.

    Returns:
        The function. The line is that of the return statement, or the line that raised, in the outermost function of
        the program.
    """
    calls = iter(range(len(lines)))

    def traced(value: Any) -> object:
        """Label one row, and store the line of this call."""
        call = next(calls)
        outermost: types.FrameType | None = None

        def enter(frame: types.FrameType, event: str, argument: Any) -> Any:
            """Trace the outermost frame of the program, and no other."""
            nonlocal outermost
            if outermost is not None or frame.f_code.co_filename != filename:
                return None
            outermost = frame
            frame.f_trace_lines = False
            return leave

        def leave(frame: types.FrameType, event: str, argument: Any) -> Any:
            """Store the frame's line at its end; Python reports an end by an error as a return, too."""
            if event == "return":
                lines[call] = frame.f_lineno
            return leave

        sys.settrace(enter)
        try:
            return label(value)
        finally:
            sys.settrace(None)

    return traced
