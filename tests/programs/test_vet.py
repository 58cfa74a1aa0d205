import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.programs.base import Program, Rejected
from alchemist_exp.programs.vet import fault, vet

LIMIT = 1000


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
    ],
)
def test_programs_pass(source: str) -> None:
    assert fault(source, max_source_bytes=LIMIT) is None


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
        ("x = '\0'", "syntax error|cannot be parsed"),
        ("#" * (LIMIT + 1), "has 1001 bytes, over the limit of 1000"),
        ("(" * 900, "syntax error|cannot be parsed"),
        ("-" * 990 + "1", "cannot be parsed|syntax error|defines no"),
    ],
)
def test_faults_are_named(source: str, reason: str) -> None:
    import re

    found = fault(source, max_source_bytes=LIMIT)
    assert found is not None
    assert re.search(reason, found)


@pytest.mark.parametrize("branches", [10, 1500, 2500])
def test_a_long_chain_of_branches_is_no_trouble(branches: int) -> None:
    chain = "if 1: 0\n" + "elif 1: 0\n" * branches
    good = "else:\n    def label_function(t): return 1\n"
    assert fault(chain, max_source_bytes=1 << 16) is not None
    assert fault(chain + good, max_source_bytes=1 << 16) in (None, "cannot be parsed: RecursionError")


@given(st.text(max_size=300))
def test_no_source_breaks_the_vetting(source: str) -> None:
    fault(source, max_source_bytes=LIMIT)


def test_order_is_kept_and_earlier_rejections_stay() -> None:
    good = [Program(source=f"def label_function(t): return {i}", origin=f"sample {i}") for i in (0, 3)]
    early = Rejected(origin="sample 1", reason="the reply holds no code")
    bad = Program(source="x", origin="sample 2")
    vetted = vet([good[0], early, bad, good[1]], max_source_bytes=LIMIT)
    assert vetted.accepted == tuple(good)
    assert vetted.rejected == (early, Rejected(origin="sample 2", reason="defines no label_function", id=bad.id))
