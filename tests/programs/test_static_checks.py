import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.programs.static_checks import check_source, text_key
from alchemist_exp.programs.types import RejectionStage

LIMIT = 1000
IMPORTABLE = ("re", "collections.abc", "__future__")


@pytest.mark.parametrize(
    "source",
    [
        "def label_function(text: str) -> int:\n    return 1",
        "import re\nP = re.compile('a')\ndef label_function(x, /): return 0",
        "def label_function(text, strict=False): return 0",
        "def label_function(*texts): return 0",
        "label_function = lambda text: 1",
        "def f(t): return 1\nlabel_function = f",
        "try:\n    import re\n    def label_function(t): return 1\nexcept ImportError:\n    pass",
        "if True:\n    def label_function(t): return 1",
        "def label_function(a, b): return 0\ndef label_function(a): return 0",
        "def label_function(t):\n    return '\\d' and 0",
        "from __future__ import annotations\nimport re, collections\ndef label_function(t): return 1",
        "try:\n    import nltk\nexcept ImportError:\n    nltk = None\ndef label_function(t): return 1",
        "def label_function(t): return 1\nif __name__ == '__main__':\n    import sys\n    print(sys.argv)",
    ],
)
def test_programs_pass(source: str) -> None:
    assert check_source(source, max_source_bytes=LIMIT, importable=IMPORTABLE) is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def label_function(text) return 1", "syntax error in line 1: expected ':'"),
        ("def label(text): return 1", "defines no label_function"),
        ("class A:\n    def label_function(t): return 1", "defines no label_function"),
        ("def outer():\n    def label_function(t): return 1", "defines no label_function"),
        ("", "defines no label_function"),
        ("def label_function(): return 1", "takes 0 arguments; one is needed"),
        ("def label_function(a, b): return 1", "takes 2 arguments; one is needed"),
        ("def label_function(a, *, b): return 1", "takes 1 arguments and needs keywords; one is needed"),
        ("async def label_function(t): return 1", "is not a plain function"),
        ("class label_function: pass", "is not a plain function"),
        ("label_function = lambda a, b: 1", "takes 2 arguments"),
        ("import nltk\ndef label_function(t): return 1", "module 'nltk' is not allowed"),
        ("from os import path\ndef label_function(t): return 1", "module 'os' is not allowed"),
        ("from . import rules\ndef label_function(t): return 1", "module '.' is not allowed"),
        ("def label_function(t):\n    import requests\n    return 1", "module 'requests' is not allowed"),
        ("x = '\0'", "syntax error|cannot be parsed"),
        ("#" * (LIMIT + 1), "has 1001 bytes, over the limit of 1000"),
        ("(" * 900, "syntax error|cannot be parsed"),
        ("-" * 990 + "1", "cannot be parsed|syntax error|defines no"),
    ],
)
def test_faults_are_named(source: str, reason: str) -> None:
    import re

    found = check_source(source, max_source_bytes=LIMIT, importable=IMPORTABLE)
    assert found is not None
    assert re.search(reason, found.reason)


@pytest.mark.parametrize("branches", [10, 1500, 2500])
def test_a_long_chain_of_branches_is_no_trouble(branches: int) -> None:
    chain = "if 1: 0\n" + "elif 1: 0\n" * branches
    good = "else:\n    def label_function(t): return 1\n"
    assert check_source(chain, max_source_bytes=1 << 16, importable=IMPORTABLE) is not None
    assert check_source(chain + good, max_source_bytes=1 << 16, importable=IMPORTABLE) in (
        None,
        (RejectionStage.SYNTAX, "cannot be parsed: RecursionError"),
    )


@given(st.text(max_size=300))
def test_no_source_breaks_the_vetting(source: str) -> None:
    check_source(source, max_source_bytes=LIMIT, importable=IMPORTABLE)


def test_comments_and_layout_make_no_other_program() -> None:
    one, other = "def label_function(t):\n    return 1", "# a rule\ndef label_function( t ): return 1  # spam\n"
    assert text_key(one) == text_key(other)
    assert text_key(one) != text_key(one.replace("1", "0"))
    assert text_key("def (") == "def ("
