"""Says of each program, before it runs, whether it can be one, and if not why.

This is early and friendly feedback. It is no wall: what holds hostile code is the sandbox.
"""

import ast
import warnings
from collections.abc import Iterable

from alchemist_exp.core.display import harmless
from alchemist_exp.programs.base import FUNCTION, Program, Rejected, Vetted


def vet(candidates: Iterable[Program | Rejected], *, max_source_bytes: int) -> Vetted:
    """Sorts programs into accepted and rejected; what was rejected before stays so."""
    accepted: list[Program] = []
    rejected: list[Rejected] = []
    for candidate in candidates:
        if isinstance(candidate, Rejected):
            rejected.append(candidate)
        elif reason := fault(candidate.source, max_source_bytes=max_source_bytes):
            rejected.append(Rejected(origin=candidate.origin, reason=harmless(reason), id=candidate.id))
        else:
            accepted.append(candidate)
    return Vetted(accepted=tuple(accepted), rejected=tuple(rejected))


def fault(source: str, *, max_source_bytes: int) -> str | None:
    """Why `source` cannot be a labeling program, None when it can."""
    size = len(source.encode("utf-8", "replace"))
    if size > max_source_bytes:
        return f"the source has {size} bytes, over the limit of {max_source_bytes}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _fault_of_function(_definition(ast.parse(source)))
    except SyntaxError as error:
        return f"syntax error in line {error.lineno}: {error.msg}"
    except (ValueError, MemoryError, RecursionError) as error:
        return f"cannot be parsed: {type(error).__name__}"


def _definition(tree: ast.Module) -> ast.stmt | None:
    """The statement at the top level, or under a top-level if or try, that defines the function last."""
    found: ast.stmt | None = None
    for statement in _top_level(tree.body):
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
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
        if isinstance(statement, ast.If | ast.Try):
            waiting += [*statement.body, *statement.orelse][::-1]


def _fault_of_function(definition: ast.stmt | None) -> str | None:
    match definition:
        case None:
            return f"defines no {FUNCTION}"
        case ast.FunctionDef(args=arguments) | ast.Assign(value=ast.Lambda(args=arguments)):
            return _fault_of_arguments(arguments)
        case ast.Assign():
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
