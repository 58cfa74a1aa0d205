"""labeler.py treats rows, votes and errors of programs as the sandbox does."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.task import Column
from alchemist_exp.data.records import RecordRows
from alchemist_exp.data.score_rows import ScoreRows
from alchemist_exp.data.text_rows import TextRows
from alchemist_exp.export.python_labeler import labeler_source
from alchemist_exp.label_models.majority import Majority
from alchemist_exp.labeling.program_labeler import ProgramLabeler

HEAD = "def label_function(row):\n    "
COLUMNS = (
    Column(name="subject", type="str"),
    Column(name="words", type="int"),
    Column(name="score", type="float"),
    Column(name="vip", type="bool"),
)


@pytest.fixture
def programs(composed) -> ProgramLabeler:
    """A labeler of texts without programs."""
    return ProgramLabeler(
        kind=TextRows(),
        classes=("no", "yes\u202e"),
        programs=(),
        directory=Path(),
        sources=(),
        sandbox=config.build(composed("dataset=youtube")).sandbox,
        label_model=Majority(),
        program_rows=lambda rows: (rows, TextRows()),
    )


def with_sources(labeler: ProgramLabeler, *sources: str) -> ProgramLabeler:
    return replace(labeler, sources=sources, programs=tuple(f"p{n}.py" for n in range(len(sources))))


def loaded(labeler: ProgramLabeler, directory: Path) -> ModuleType:
    """Write labeler.py and import it."""
    path = directory / "labeler.py"
    path.write_text(labeler_source(labeler, "majority", "abc123"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("labeler", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_votes_and_errors_count_as_in_the_sandbox(programs: ProgramLabeler, tmp_path: Path) -> None:
    bodies = {
        "return 1": "yes\u202e",
        "return True": None,
        "return 1.0": None,
        "return 2": None,
        "return -5": None,
        "return None": None,
        "raise SystemExit": None,
        "return undefined": None,
        "import os; return 1": None,  # not importable in the sandbox
        "import numpy; return 1": None,
        "from enum import IntEnum; return IntEnum('E', {'A': 1}).A": "yes\u202e",
        "return label_function.__globals__.get('seen', -1)": None,
    }
    labeler = loaded(
        with_sources(programs, *(HEAD + body for body in bodies), f"seen = 0\n{HEAD}return seen"), tmp_path
    )
    assert list(labeler.votes("text").values()) == [*bodies.values(), "no"]
    assert labeler.errors == {"p6.py": 1, "p7.py": 1, "p8.py": 1, "p9.py": 1}
    assert labeler.label("text") == ("yes\u202e", pytest.approx(2 / 3))
    assert labeler.probabilities("text") == pytest.approx({"no": 1 / 3, "yes\u202e": 2 / 3})
    assert labeler.label(" \u200b") == (None, 0.0)
    with pytest.raises(TypeError, match="expected a text, not int"):
        labeler.label(5)


@pytest.mark.parametrize(
    "text",
    ['"""', "'''", "\"\"\"'''", "\\", "\\n\\", 'ends with "', "é\u202e", "\x00\ud800", "a\rb", "\r\n", "tab\t"],
)
def test_any_source_is_kept_as_it_is(programs: ProgramLabeler, tmp_path: Path, text: str) -> None:
    source = f"x = {text!a}\n{HEAD}return 1 if row == {text!a} else 0\n# {text if text.isprintable() else ''}"
    labeler = loaded(with_sources(programs, source), tmp_path)
    assert (("p0.py", source),) == labeler.PROGRAMS
    assert "\u202e" not in (tmp_path / "labeler.py").read_text(encoding="utf-8")


def test_records_have_all_columns_in_their_types(programs: ProgramLabeler, tmp_path: Path) -> None:
    sources = (
        f"{HEAD}row.clear(); return -1",
        f"{HEAD}return [type(v).__name__ for v in row.values()] == ['str', 'int', 'float', 'NoneType']",
        f"{HEAD}print('noise'); return int(row['score'] > 1)",
        f"{HEAD}return 1 if [type(v) for v in row.values()] == [str, int, float, type(None)] else 0",
    )
    labeler = replace(with_sources(programs, *sources), kind=RecordRows(columns=COLUMNS))
    module = loaded(labeler, tmp_path)
    row = {"subject": "a", "words": 3.0, "score": 2, "other": 1}
    assert list(module.votes(row).values()) == [None, None, "yes\u202e", "yes\u202e"]
    assert module.label({"subject": " ", "words": None}) == (None, 0.0)
    for wrong, message in (({}, "expected a record with subject"), ({"words": "x"}, "words is 'x'; expected int")):
        with pytest.raises(ValueError, match=message):
            module.label(wrong)
    lines = "".join(f"{line}\n" for line in (json.dumps(row), "[1]"))
    command = [sys.executable, "-I", "-S", str(tmp_path / "labeler.py")]
    found = subprocess.run(command, input=lines, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (found.returncode, found.stdout) == (1, "yes\u202e\t1.000\n")
    assert found.stderr == "error: line 2: expected a record with subject, words, score, vip, not list\n"


def test_what_labeler_cannot_do_is_one_sentence(programs: ProgramLabeler) -> None:
    uses_numpy = with_sources(programs, f"import numpy as np\n{HEAD}return 1")
    uses_numpy.sandbox.extra_modules = ["numpy"]
    with pytest.raises(ConfigError, match=r"p0\.py imports numpy, which is not in Python's standard library"):
        labeler_source(uses_numpy, "majority", "abc")
    with pytest.raises(ConfigError, match=r"receive scores; labeler\.py needs texts or records"):
        labeler_source(replace(programs, kind=ScoreRows()), "majority", "abc")
