"""Whatever is printed as an override comes back unchanged through a shell and Hydra's grammar."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

import alchemist_exp
from alchemist_exp.core.overrides import override, typed

VALUES: list[Any] = [
    "Label spam, or ham",
    'say "it\'s" (new) [a] {b} = c: d; e & f | g > h < i * j ? k # l ! m ~ n ` o % p ^ q @ r + s',
    "costs $5, $HOME, ${HOME}, $${x} and \\${y} \\\\${z}",
    "Zugänge, 帳戶, дом, 🙂",
    'ends with \\" and \\',
    "\\",
    "",
    " blanks ",
    "two\nlines\tand a tab",
    "$(touch x) `touch y`",
    "true", "Null", "1", "1e5", "1_000", "010", "-1", "inf", ".nan", "choice(a,b)", "glob(*)", "a,b", "~/x", "a=b",
    "plain/path-1.csv",
    ["billing", "account access", "a, b", "it's", "no", "1.0", "${x}"],
    {"input_usd_per_million": 1, "as_of": "to day", "none": None},
    3, 0.5, True, None,
]  # fmt: skip


def read(text: str) -> Any:
    parsed = OverridesParser.create().parse_override(text)
    assert parsed.key_or_group == "key"
    assert not parsed.is_sweep_override()
    return OmegaConf.to_container(OmegaConf.create({"key": parsed.value()}), resolve=True)["key"]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_hydra_reads_what_was_meant(value: Any) -> None:
    assert read(override("key", value)) == value


def test_a_shell_passes_what_was_meant() -> None:
    words = " ".join(typed("key", value) for value in VALUES)
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True)
    assert [read(word) for word in done.stdout.decode().split("\0")[:-1]] == VALUES


@given(st.text(alphabet=st.sampled_from("\\\"'${}ab ,x\n"), max_size=12))
def test_any_mixture_of_quotes_and_backslashes(text: str) -> None:
    assert read(override("key", text)) == text


@given(st.text(max_size=20).filter(lambda text: "\0" not in text and text.isprintable()))
def test_any_text(text: str) -> None:
    assert read(override("key", text)) == text


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the string literals that are no docstrings; what an f-string inserts is X."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_messages_quote_the_overrides_that_a_shell_would_expand() -> None:
    for path in sorted(Path(alchemist_exp.__file__).parent.rglob("*.py")):
        for text in texts(ast.parse(path.read_text(encoding="utf-8"))):
            unquoted = re.search(r"(?<![\w.'])(?!hydra\.)[a-zA-Z][\w.]*=([\[{])", text)
            assert not unquoted, f"{path}: {text!r} suggests an override without single quotes"
