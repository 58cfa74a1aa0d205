"""Says of a program, from its source alone, whether it can be one, and if not why.

This is early and friendly feedback. It is no wall: what holds hostile code is the sandbox.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from alchemist_exp.programs.types import FUNCTION, RejectionStage


class CheckFailure(NamedTuple):
    """What is wrong with a program."""

    stage: RejectionStage
    reason: str


def check_source(source: str, *, max_source_bytes: int, importable: Sequence[str]) -> CheckFailure | None:
    """Why `source` cannot be a labeling program, None when it can. importable: the modules the sandbox knows."""
    size = len(source.encode("utf-8", "replace"))
    if size > max_source_bytes:
        return CheckFailure(
            RejectionStage.TOO_LONG, f"the source has {size} bytes, over the limit of {max_source_bytes}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            if reason := _fault_of_function(_definition(tree)):
                return CheckFailure(RejectionStage.SIGNATURE, reason)
            if name := next((name for name in _needed_modules(tree) if not _fits(name, importable)), None):
                return CheckFailure(RejectionStage.IMPORT, f"module {name!r} is not allowed in a labeling program")
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        return CheckFailure(RejectionStage.SYNTAX, f"syntax error{where}: {error.msg}")
    except (ValueError, MemoryError, RecursionError) as error:
        return CheckFailure(RejectionStage.SYNTAX, f"cannot be parsed: {type(error).__name__}")
    return None


def text_key(source: str) -> str:
    """Equal for programs that differ in comments and layout only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return source


def _needed_modules(tree: ast.Module) -> Iterator[str]:
    """The modules that are imported whatever happens; one inside a try or an if may be missing."""
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


def _fits(name: str, importable: Sequence[str]) -> bool:
    """As the sandbox decides it, and the modules that the interpreter always has."""
    return any(f"{name}.".startswith(f"{known}.") or f"{known}.".startswith(f"{name}.") for known in importable)


def _definition(tree: ast.Module) -> ast.stmt | None:
    """The statement at the top level, or under a top-level if, try or with, that defines the function last."""
    found: ast.stmt | None = None
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
            found = statement
    return found


def _top_level(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    # No recursion: each elif lies one deeper than the last, and there may be thousands.
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


def _fault_of_function(definition: ast.stmt | None) -> str | None:
    match definition:
        case None:
            return f"defines no {FUNCTION}"
        case (
            ast.FunctionDef(args=arguments)
            | ast.Assign(value=ast.Lambda(args=arguments))
            | ast.AnnAssign(value=ast.Lambda(args=arguments))
        ):
            return _fault_of_arguments(arguments)
        case ast.Assign() | ast.AnnAssign():
            # The name of another function: whether it can be called is seen when it is.
            return None
        case _:
            return f"{FUNCTION} is not a plain function"


def _fault_of_arguments(arguments: ast.arguments) -> str | None:
    """A call with one text must fit."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keyword_only = [
        a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not default
    ]
    takes_one = required <= 1 and (positional >= 1 or arguments.vararg is not None)
    if takes_one and not keyword_only:
        return None
    return f"{FUNCTION} takes {required} arguments{' and needs keywords' if keyword_only else ''}; one is needed"
