import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.llm.providers.recorded import RECORDINGS, RecordedLLM
from alchemist_exp.programs.extract import extract_source

BODY = "def label_function(text: str) -> int:\n    return 1\n"
DRAFT = BODY.replace("1", "0")
OTHER = "import re\nX = 1\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{BODY}```",
        f"Here you are:\n\n```py\n{BODY}```\nEnjoy.",
        f"```Python3\n{BODY}```",
        f"```\n{BODY}```",
        f"~~~python\n{BODY}~~~",
        f"````python\n{BODY}````",
        f"```python\r\n{BODY}```".replace("\n", "\r\n").replace("\r\r", "\r"),
        f"```python\n{OTHER}```\nand\n```python\n{BODY}```",
        f"```\n{BODY}```\n```text\nlabel_function\n```",
        f"```bash\npip install x\n```\n```python\n{BODY}```",
        f"```python\n{BODY}",
        BODY,
        f"   ```python\n{BODY}   ```",
        f'```python title="a.py"\n{BODY}```',
        f"<think>\n```python\n{DRAFT}```\n</think>\n```python\n{BODY}```",
        f"<|channel|>analysis<|message|>```python\n{DRAFT}```<|end|><|start|>assistant<|channel|>final<|message|>"
        f"```python\n{BODY}```",
        f"A draft:\n```python\n{DRAFT}```\nImproved:\n```python\n{BODY}```",
        f"```python\n{BODY}```\nA longer one:\n```python\n{DRAFT}    if (",
        f"```python\n{BODY}```\nUsage:\n```python\nprint(label_function('x'))\n```",
        "1. The code:\n    ```python\n" + "".join(f"    {line}\n" for line in BODY.splitlines()) + "    ```",
        f"\ufeff```python\n{BODY}```",
        json.dumps({"code": BODY}),
        f"Here it is:\n\n{BODY}\nThis returns 1.",
    ],
)
def test_the_block_that_defines_the_function_is_taken(reply: str) -> None:
    assert extract_source(reply) == BODY


def test_blocks_that_define_what_the_program_uses_are_put_before_it() -> None:
    words, helper = "WORDS = ['free']\n", "def found(text):\n    return any(w in text for w in WORDS)\n"
    program = "def label_function(text):\n    return int(found(text))\n"
    blocks = [words, "print('an example')\n", "UNUSED = 1\n", program, helper]
    response = "\n".join(f"```python\n{block}```" for block in blocks)
    assert extract_source(response) == f"{words}\n{helper}\n{program}"


def test_a_fence_in_a_docstring_does_not_end_the_block() -> None:
    source = 'def label_function(text):\n    """Example:\n\n    ```\n    x\n    ```\n    """\n    return 1\n'
    assert extract_source(f"```python\n{source}```") == source


def test_python_blocks_come_before_unmarked_ones() -> None:
    marked = BODY.replace("1", "0")
    assert extract_source(f"```\n{BODY}```\n```python\n{marked}```") == marked


def test_blocks_without_the_function_are_given_to_vetting_not_replaced() -> None:
    assert extract_source(f"```python\n{OTHER}```") == OTHER


@pytest.mark.parametrize(
    "reply", ["", "I cannot help with that.", "```json\n{}\n```", "Use label_function wisely.", "```"]
)
def test_no_code_is_none(reply: str) -> None:
    assert extract_source(reply) is None


def test_a_fence_inside_the_code_does_not_end_it() -> None:
    source = f'"""\n```python\nexample\n"""\n{BODY}'
    assert extract_source(f"````python\n{source}````") == source


def test_a_hostile_reply_takes_no_longer_than_it_is_long() -> None:
    part = 700_000
    line = "~" * part + " " * part + "a" * part + "`\n"
    assert extract_source(f"{line}```python\n{BODY}```") == BODY


@given(st.text(alphabet=st.sampled_from("`~ \npyadef:label_function(t)"), max_size=200))
def test_any_reply_gives_text_that_was_in_it_or_none(reply: str) -> None:
    source = extract_source(reply)
    assert source is None or all(line.strip() in reply for line in source.split("\n"))


@pytest.mark.parametrize("pack", sorted(path.stem for path in RECORDINGS.glob("*.jsonl")))
def test_all_recorded_programs_are_found(pack: str) -> None:
    llm = RecordedLLM(name="recorded", model="m", recording=pack, tokenizer=None, price=None)
    for question, reply in llm.responses.items():
        if question.system.startswith("You write labeling programs"):
            source = extract_source(reply.text)
            assert source is not None
            assert re.search(r"^def label_function\(", source, re.MULTILINE)


_PROSE = st.text(alphabet=st.sampled_from("abc .,:#-*\n"), max_size=80)
_LINES = st.lists(st.text(alphabet=st.sampled_from("abc =()'\"#~`\\t "), max_size=30), max_size=6)


@given(_PROSE, _LINES, st.sampled_from(["python", "py", "Python3", ""]), st.sampled_from(["````", "~~~~~"]), _PROSE)
def test_a_program_in_a_fence_comes_out_as_it_went_in(
    before: str, lines: list[str], language: str, fence: str, after: str
) -> None:
    body = [line for line in lines if not line.strip().startswith(("```", "~~~"))]
    source = "\n".join(["def label_function(t):", "    return 1", *body]).rstrip("\n") + "\n"
    assert extract_source(f"{before}\n{fence}{language}\n{source}{fence}\n{after}") == source


@given(st.lists(_LINES, min_size=2, max_size=4), st.data())
def test_of_several_blocks_the_first_with_the_function_is_taken_whole(
    blocks: list[list[str]], data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, len(blocks) - 1))
    texts = ["\n".join(["x = 1", *(f"# {line}" for line in lines)]) for lines in blocks]
    texts[right] += "\ndef label_function(t): return 0"
    reply = "\n\n".join(f"Block:\n```python\n{text}\n```" for text in texts)
    assert extract_source(reply) == f"{texts[right]}\n"
