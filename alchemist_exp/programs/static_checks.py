"""Checks of a program's source without running it.

The checks give an early and clear reason. They are not a security boundary: that is the sandbox.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from alchemist_exp.programs.types import FUNCTION, RejectionStage


class CheckFailure(NamedTuple):
    """Why a program fails a check: the vetting stage and one sentence."""

    stage: RejectionStage
    reason: str


def check_source(source: str, *, max_source_bytes: int, importable: Sequence[str]) -> CheckFailure | None:
    """Check whether a source can be a labeling program.

    Args:
        source: Python source.
        max_source_bytes: The largest size in bytes of UTF-8.
        importable: The modules that a program may import in the sandbox.

    Returns:
        The first failure, or None when the source can be a labeling program.

    """
    size = len(source.encode("utf-8", "replace"))
    if size > max_source_bytes:
        return CheckFailure(
            RejectionStage.TOO_LONG, f"the source has {size} bytes, over the limit of {max_source_bytes}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            if reason := _failure_of_function(_definition(tree)):
                return CheckFailure(RejectionStage.SIGNATURE, reason)
            # A package that has importable parts is allowed, too.
            known = [f"{name}." for name in importable]
            refused = (
                name
                for name in _needed_modules(tree)
                if not any(f"{name}.".startswith(path) or path.startswith(f"{name}.") for path in known)
            )
            if (name := next(refused, None)) is not None:
                return CheckFailure(RejectionStage.IMPORT, f"module {name!r} is not allowed in a labeling program")
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        return CheckFailure(RejectionStage.SYNTAX, f"syntax error{where}: {error.msg}")
    except (ValueError, MemoryError, RecursionError) as error:
        return CheckFailure(RejectionStage.SYNTAX, f"cannot be parsed: {type(error).__name__}")
    return None


def text_key(source: str) -> str:
    """Return a key that is equal for programs that differ in comments and layout only.

    Args:
        source: Python source.

    Returns:
        The dump of the syntax tree; the source itself when it cannot be parsed.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return source


def _needed_modules(tree: ast.Module) -> Iterator[str]:
    """The modules that are always imported; an import inside a try or an if may fail without effect."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        match waiting.pop():
            case ast.Try() | ast.TryStar() | ast.If():
                continue
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, level=level):
                yield "." * level + (module or "")
            case node:
                waiting += ast.iter_child_nodes(node)


def _definition(tree: ast.Module) -> ast.stmt | None:
    """The last statement, at the top level or under a top-level if, try or with, that defines the function."""
    definition: ast.stmt | None = None
    for statement in _top_level(tree.body):
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                defines = name == FUNCTION
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                defines = name == FUNCTION
            case ast.Assign(targets=targets):
                defines = any(isinstance(t, ast.Name) and t.id == FUNCTION for t in targets)
            case _:
                defines = False
        if defines:
            definition = statement
    return definition


def _top_level(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    # No recursion: each elif is nested one level deeper than the one before, and there can be thousands.
    waiting = list(body)[::-1]
    while waiting:
        statement = waiting.pop()
        yield statement
        match statement:
            case ast.If(body=body, orelse=orelse):
                waiting += [*body, *orelse][::-1]
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
                caught = [inner for handler in handlers for inner in handler.body]
                waiting += [*body, *caught, *orelse, *finalbody][::-1]
            case ast.With(body=body):
                waiting += body[::-1]


def _failure_of_function(definition: ast.stmt | None) -> str | None:
    match definition:
        case None:
            return f"defines no {FUNCTION}"
        case (
            ast.FunctionDef(args=arguments)
            | ast.Assign(value=ast.Lambda(args=arguments))
            | ast.AnnAssign(value=ast.Lambda(args=arguments))
        ):
            pass
        case ast.Assign() | ast.AnnAssign():
            # The name of another function: only a call shows whether it can be called.
            return None
        case _:
            return f"{FUNCTION} is not a plain function"
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keyword_only = [
        a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not default
    ]
    takes_one = required <= 1 and (positional >= 1 or arguments.vararg is not None)
    if takes_one and not keyword_only:
        return None
    return f"{FUNCTION} takes {required} arguments{' and needs keywords' if keyword_only else ''}; one is needed"
