"""A program's file says how it was written, and gives the very program back."""

from hypothesis import example, given
from hypothesis import strategies as st

from alchemist_exp.programs.base import Program, Provenance, Stage, reject
from alchemist_exp.programs.header import with_header, without_header

WRITTEN = Provenance(model="m\n#: cost: 0", prompt="p", reply="r", strategy="rules", sample=3, version=1, usd=0.00125)


@given(st.text())
@example("#: not ours\n")
@example("\n\n# a comment")
def test_a_file_gives_the_program_back_unless_it_begins_as_a_header_does(source: str) -> None:
    program = Program(source=source, origin="rules 3.1", written=WRITTEN)
    if not source.startswith("#: "):
        assert without_header(with_header(program)) == source


def test_the_header_says_who_wrote_it_and_why_it_was_rejected() -> None:
    program = Program(source="x = 1\n", origin="rules 3.1", written=WRITTEN)
    text = with_header(program, reject(program, Stage.SIGNATURE, "defines no label_function"))
    assert text.splitlines() == [
        f"#: program: {program.id} (rules 3.1)",
        "#: model: m #: cost: 0",
        "#: strategy: rules",
        "#: sample: 3",
        "#: version: 1 (a repair)",
        "#: prompt: p",
        "#: reply: r",
        "#: cost: $0.001250 by list price",
        "#: rejected: signature: defines no label_function",
        "x = 1",
    ]
