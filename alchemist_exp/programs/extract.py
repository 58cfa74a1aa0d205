"""Extracts the program from an LLM's response.

The result is the text of one code block, with the blocks before or after it that define what it uses, or the whole
response when it is nothing but code. Code is never repaired or invented.
"""

import ast
import builtins
import json
import re
import warnings
from collections.abc import Iterator
from typing import Final

from alchemist_exp.core.reasoning import without_reasoning
from alchemist_exp.programs.types import FUNCTION

# Possessive quantifiers: backtracking would read a long line once for every length of each part.
_FENCE = re.compile(r"^(?P<indent>[ \t]*+)(?P<mark>`{3,}+|~{3,}+)[ \t]*+(?P<language>[\w+.-]*+)[^\n`]*+$")
_PYTHON = {"python", "py", "python3", "py3", "python-3", "python3.11"}
_DEFINES = re.compile(rf"^(?:async\s+)?def\s+{FUNCTION}\b|^{FUNCTION}\s*=", re.MULTILINE)
_BEGINS_CODE = re.compile(r"^(?:import |from |def |async def |class |@|#|\"\"\"|'''|\w+(?:: [^=]+)? = )")

_MAX_CHARACTERS: Final = 100_000
"""Characters of a block that is parsed here. Vetting refuses far shorter programs."""

_MAX_CUTS: Final = 50
"""Paragraphs after a program without a fence that are left out, one after the other."""

_DEFINITIONS = (
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)


def extract_source(response: str) -> str | None:
    """Return the source of the program in a response.

    Of several code blocks that define `label_function` the last one that is complete is taken, Python blocks before
    unmarked ones: models write drafts first. Blocks that only define names that it uses are put before it. When no
    block defines the function, the first block is taken, so that vetting can say what is missing. An unclosed last
    block counts. Reasoning does not.

    Args:
        response: The text of the response.

    Returns:
        The source, or None when the response has no code.

    """
    text = without_reasoning(response).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    blocks = list(_code_blocks(text))
    python = [code for language, code in blocks if language.lower() in _PYTHON]
    unmarked = [code for language, code in blocks if not language]
    for codes in (python, unmarked):
        if defining := [code for code in codes if _DEFINES.search(code)]:
            complete = [code for code in defining if _parse(code) is not None]
            program = (complete or defining)[-1]
            return _with_helpers(program, [code for code in python + unmarked if code not in defining])
    if python or unmarked:
        return (python or unmarked)[0]
    objects = [code for language, code in blocks if language.lower() == "json"] if blocks else [text]
    for code in objects:
        if (program_in_json := _json_program(code)) is not None:
            return program_in_json
    if not blocks and _DEFINES.search(text):
        return _without_prose(text)
    return None


def _code_blocks(response: str) -> Iterator[tuple[str, str]]:
    """The language and the text of each fenced block."""
    mark, indent, language, lines = "", "", "", list[str]()
    for line in response.split("\n"):
        fence = _FENCE.match(line)
        if not mark:
            if fence:
                mark, indent, language, lines = fence["mark"], fence["indent"], fence["language"], []
        # A fence that is indented further than the opening one is part of the code, for example of a docstring.
        elif (
            fence
            and fence["mark"].startswith(mark)
            and not fence["language"]
            and len(fence["indent"]) <= len(indent) + 3
        ):
            yield language, _text(lines, indent)
            mark = ""
        else:
            lines.append(line)
    if mark and lines:
        yield language, _text(lines, indent)


def _text(lines: list[str], indent: str) -> str:
    """Join the lines of a block; those of a block in a list item lose its indentation."""
    if indent and all(line.startswith(indent) or not line.strip() for line in lines):
        lines = [line.removeprefix(indent) for line in lines]
    return "\n".join(lines).rstrip("\n") + "\n"


def _parse(source: str) -> ast.Module | None:
    """Parse a program; None if it is not valid Python."""
    if len(source) > _MAX_CHARACTERS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _with_helpers(program: str, others: list[str]) -> str:
    """Put the blocks before a program that only define names and define one that it uses and does not define."""
    tree = _parse(program)
    if tree is None or not others:
        return program
    trees = {code: helper for code in others if (helper := _parse(code))}
    helpers = {code: helper for code, helper in trees.items() if all(isinstance(n, _DEFINITIONS) for n in helper.body)}
    used: list[str] = []
    missing = _missing_names(tree)
    # A helper may use names of another one, so the search goes on until no block defines a missing name.
    while found := [code for code, helper in helpers.items() if code not in used and _defined(helper) & missing]:
        used += found
        missing = set().union(*(_missing_names(helpers[code]) for code in found))
    return "\n".join([*(code for code in helpers if code in used), program])


def _defined(tree: ast.Module) -> set[str]:
    """The names that a module defines, at any depth."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.alias():
                names.add((node.asname or node.name).partition(".")[0])
            case ast.arg():
                names.add(node.arg)
            case ast.ExceptHandler() if node.name:
                names.add(node.name)
    return names


def _missing_names(tree: ast.Module) -> set[str]:
    """The names that a module uses and does not define."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return used - _defined(tree) - set(dir(builtins))


def _json_program(text: str) -> str | None:
    """The program in a JSON object that holds exactly one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    values = value.values() if isinstance(value, dict) else ()
    programs = [code for code in values if isinstance(code, str) and _DEFINES.search(code)]
    return programs[0].rstrip("\n") + "\n" if len(programs) == 1 else None


def _without_prose(text: str) -> str:
    """Cut the sentences before and after a program without a fence; the text itself if no cut gives valid code."""
    if _parse(text) is not None:
        return text
    lines = text.split("\n")
    first = next((n for n, line in enumerate(lines) if _BEGINS_CODE.match(line)), 0)
    ends = [len(lines), *(n for n in range(len(lines) - 1, first, -1) if not lines[n].strip())]
    for end in ends[:_MAX_CUTS]:
        source = _text(lines[first:end], "")
        if _DEFINES.search(source) and _parse(source) is not None:
            return source
    return text
