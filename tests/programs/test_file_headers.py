"""A program's file says how it was written, and gives the very program back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alchemist_exp.programs.files import file_names, parent_id, split_header, with_header
from alchemist_exp.programs.types import Program, Provenance, RejectionStage, reject

WRITTEN = Provenance(
    model="m\n#: cost: 0",
    prompt_key="p",
    response_key="r",
    strategy="rules",
    sample=3,
    version=1,
    list_price_usd=0.00125,
)


@given(st.text())
@example("#: not ours\n")
@example("#: ---\n#: ---\n")
@example("\n\n# a comment")
@example("x = '\u2028'\n")
def test_a_file_gives_the_very_program_back(source: str) -> None:
    program = Program(source=source, origin="rules 3.1", provenance=WRITTEN)
    header, read = split_header(with_header(program))
    assert read == source
    assert dict(header)["strategy"] == "rules"


def test_a_file_without_a_header_is_all_program() -> None:
    for text in ("x = 1", "#: words\nx = 1", "x = 1\n#: ---\n", "#: x #: ---\n"):
        assert split_header(text) == ((), text)


def test_only_a_newline_ends_a_line_of_the_header() -> None:
    header, source = split_header("#: program: 0123456789ab (a\u2028b)\n#: note: c\x0cd\n#: ---\nx = 1\n")
    assert (header[1], source) == (("note", "c\x0cd"), "x = 1\n")


@pytest.mark.parametrize(
    ("origins", "names"),
    [
        (["general 5", "general 12", "rules 3.1"], ["general_05.py", "general_12.py", "rules_03.1.py"]),
        (["a b.py", "a_b.py", "A.py"], ["a_b.py", "a_b_2.py", "A.py"]),
        (["../x 1", "", "\u2028", ".py"], [".._x_01.py", "program.py", "_.py", "program_2.py"]),
    ],
)
def test_a_file_is_named_after_the_origin_of_its_program(origins: list[str], names: list[str]) -> None:
    assert file_names(origins) == names


@given(st.lists(st.text(), max_size=20))
def test_file_names_are_different_and_possible(origins: list[str]) -> None:
    names = file_names(origins)
    assert len({*names}) == len(origins)
    assert all(len(name.encode()) < 255 and "/" not in name and name.endswith(".py") for name in names)


def test_a_corrected_program_says_what_it_was_made_from() -> None:
    first = Program(source="x = 1\n", origin="rules 3.1", provenance=WRITTEN)
    header, _ = split_header(with_header(first))
    corrected = Program(source="x = 2\n", origin="general_00.py", header=header)
    assert parent_id(corrected) == first.id
    text = with_header(corrected)
    assert f"#: from: {first.id} (rules 3.1)\n#: model: m" in text
    again, source = split_header(text)
    assert parent_id(Program(source=source, origin="general_00.py", header=again)) == corrected.id
    kept = with_header(Program(source="x = 3", origin="general_01.py", header=(("from", "a"), ("rejected", "r"))))
    assert "#: from: a" in kept
    assert "rejected" not in kept


def test_the_header_says_who_wrote_it_and_why_it_was_rejected() -> None:
    program = Program(source="x = 1\n", origin="rules 3.1", provenance=WRITTEN)
    text = with_header(program, reject(program, RejectionStage.SIGNATURE, "defines no label_function"))
    assert text.splitlines() == [
        f"#: program: {program.id} (rules 3.1)",
        "#: model: m #: cost: 0",
        "#: strategy: rules",
        "#: sample: 3",
        "#: version: 1 (a repair)",
        "#: prompt: p",
        "#: response: r",
        "#: cost: $0.001250 by list price",
        "#: rejected: signature: defines no label_function",
        "#: ---",
        "x = 1",
    ]
