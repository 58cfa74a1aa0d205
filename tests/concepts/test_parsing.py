import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alchemist_exp.concepts.parsing import MAX_BYTES, MAX_CHARACTERS, MAX_CONCEPTS, parse_concepts, read_concepts
from alchemist_exp.concepts.types import Concept, ConceptSet
from alchemist_exp.core.errors import ConfigError

CLASSES = ("landbird", "waterbird")
FEET = Concept(name="feet", descriptions=("Toed feet", "Webbed feet"))
BILL = Concept(name="bill", descriptions=("A pointed bill", "A flat bill"))
BOTH = ConceptSet(concepts=(FEET, BILL))
LAYOUT = BOTH.by_class(CLASSES)
PLAIN = json.dumps(LAYOUT)
INDENTED = json.dumps(LAYOUT, indent=2)


def one(**descriptions: object) -> str:
    return json.dumps({"feet": descriptions})


ARRAY = [
    {"name": "feet", "landbird": "Toed feet", "waterbird": "Webbed feet"},
    {"Concept": "bill", "landbird": "A pointed bill", "waterbird": "A flat bill", "note": "of the head"},
]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"```json\n{INDENTED}\n```",
        f"```\n{INDENTED}\n```\n",
        f"~~~JSON5\n{INDENTED}\n~~~",
        f"```json\r\n{INDENTED}\r\n```".replace("\n", "\r\n"),
        f"Here they are, as {{name: {{class: text}}}} [1]:\n\n```json\n{INDENTED}\n```\nTell me if {{x}} helps [2].",
        f"The concepts are {PLAIN}, as you asked.",
        f"Layout: {{}}\n{PLAIN}",
        f"```json\n{INDENTED}",
        f"\ufeff{PLAIN}",
        json.dumps({"concepts": LAYOUT}),
        json.dumps({"visual primitives": ARRAY}),
        json.dumps(ARRAY),
        PLAIN.replace("landbird", " LandBirds ").replace("waterbird", "WATERBIRD"),
        PLAIN.replace("Toed feet", r"\n Toed\u0000\tfeet ").replace("A flat bill", "A  flat\nbill"),
        PLAIN.replace('"feet"', '" feet\\n"'),
    ],
)
def test_accepted_layouts(text: str) -> None:
    assert parse_concepts(text, CLASSES) == BOTH


def test_parts_of_a_description_are_joined() -> None:
    concepts = parse_concepts(one(landbird=["Toed", " ", "grasping feet"], waterbird="Webbed feet"), CLASSES)
    assert concepts.descriptions == ("Toed, grasping feet", "Webbed feet")


@pytest.mark.parametrize(
    ("classes", "keys"),
    [
        (["fire ant", "honey bee"], ["Fire-Ants", "honey_bee"]),
        (["fire_ant", "honey-bee"], ["fire ant", "HONEY  BEES"]),
        (["ants", "bees"], ["ant", "bee"]),
        (["ant", "ants"], ["ant", "ants"]),  # they are similar, so only the same name counts
        (["B", "b"], ["B", "b"]),
        (["c", "s"], ["C", "S"]),
    ],
)
def test_similar_class_names_are_the_same_class(classes: Sequence[str], keys: Sequence[str]) -> None:
    text = json.dumps({"feet": dict(zip(reversed(keys), ["second", "first"], strict=True))})
    assert parse_concepts(text, classes).descriptions == ("first", "second")


def test_a_name_that_is_similar_to_two_classes_is_none_of_them() -> None:
    with pytest.raises(
        ValueError, match="has the key 'Ants', which is not a class; expected the classes 'ant', 'ants'"
    ):
        parse_concepts(json.dumps({"feet": {"Ants": "few"}}), ["ant", "ants"])


def test_a_key_that_is_no_class_is_ignored_next_to_all_classes() -> None:
    text = one(landbird="Toed feet", waterbird="Webbed feet", why="They differ.")
    assert parse_concepts(text, CLASSES) == ConceptSet(concepts=(FEET,))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'no JSON; write {"concept name": {"landbird": "...", "waterbird": "..."}, ...}'),
        ("I cannot help with that.", "no JSON"),
        ('"Toed feet"', "no JSON"),
        (PLAIN[:-1], "cut off at its end; write fewer concepts"),
        (PLAIN[:-5], "cut off"),
        (f"```json\n{INDENTED[:-30]}", "cut off"),
        (json.dumps({"concepts": LAYOUT})[:-1], "cut off"),
        (json.dumps(ARRAY)[:-1], "cut off"),
        (INDENTED.replace('feet",', 'feet"'), "not valid .* at line 4, column 5.; write one valid JSON object"),
        (PLAIN.replace('"', "'"), "no JSON"),
        (f"```json\n{INDENTED[:-1]},\n}}\n```", "not valid"),
        ("[]", "the JSON is an array; expected an object with one object per concept"),
        ('["feet", "bill"]', "the JSON is an array"),
        (json.dumps({"concepts": ["feet", "bill"]}), "the concept 'concepts' is an array"),
        ("{}", "no concepts; write at least one"),
        ('{"concepts": {}}', "no concepts"),
        (json.dumps([*ARRAY, {"landbird": "short", "waterbird": "long"}]), "in the array has no name; add 'name'"),
        (json.dumps({"feet": "toed or webbed"}), "the concept 'feet' is a string; expected an object with one desc"),
        (json.dumps({"feet": None, "bill": 1}), "the concept 'feet' is null"),
        (json.dumps(LAYOUT["feet"]), "the concept 'landbird' is a string"),
        (one(landbird="Toed feet"), "the concept 'feet' has no description for the class 'waterbird'; add one"),
        ('{"feet": {}, "bill": {}}', "the concept 'feet' has no description for the class 'landbird'"),
        (one(robin="Red", duck="Green"), "has the key 'robin', which is not a class; expected the classes 'landbird'"),
        (one(landbird=" \n", waterbird="Webbed"), "the class 'landbird' in the concept 'feet' is empty; write one"),
        (one(landbird=[], waterbird="Webbed"), "is empty"),
        (one(landbird=3, waterbird="Webbed"), "is a number; expected a string"),
        (one(landbird=[True], waterbird="Webbed"), "is a boolean"),
        (one(landbird=None, waterbird="Webbed"), "is null"),
        (one(landbird=[["Toed"]], waterbird="Webbed"), "is an array"),
        (one(landbird={"toes": "four"}, waterbird="Webbed"), "is an object"),
        (one(landbird="Toed", Landbirds="Grasping", waterbird="Webbed"), "two descriptions for the class 'landbird'"),
        (PLAIN.replace('"bill"', '"feet"'), "2 concepts have the name 'feet'; give each another name"),
        (PLAIN.replace('"bill"', '" Feet "'), "2 concepts have the name 'feet'"),
        (PLAIN.replace('"bill"', '" "'), "a concept has an empty name"),
        (
            json.dumps({f"c{n}": LAYOUT["feet"] for n in range(MAX_CONCEPTS + 1)}),
            "there are 51 concepts; write at most",
        ),
        ("{" * (MAX_CHARACTERS + 1), "has 100,001 characters; write at most 100,000"),
        ("[" * MAX_CHARACTERS, "nested too deeply"),
        (f'{{"feet": {"9" * 5000}, "bill": {{}}}}', "is a number"),
        (f'{{"{"x" * 5000}": 1}}', r"the concept 'x{60}\.\.\.' is a number"),
    ],
)
def test_refused_responses(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_concepts(text, CLASSES)
    assert "\n" not in str(caught.value)


def test_most_concepts_are_accepted() -> None:
    text = json.dumps({f"c{n}": LAYOUT["feet"] for n in range(MAX_CONCEPTS)})
    assert len(parse_concepts(text, CLASSES).concepts) == MAX_CONCEPTS


def test_the_reason_is_that_of_the_longest_json() -> None:
    broken = json.dumps({"feet": {"landbird": "Toed feet"}})
    with pytest.raises(ValueError, match="'feet' has no description for the class 'waterbird'"):
        parse_concepts(f"As in [3] and {{}}: {broken} (see [4]).", CLASSES)


@pytest.mark.parametrize(
    "broken", ['"feet": ', '"feet": {"landbird": "Toed feet"} "beak": {}', '"feet": {"landbird": "Toed']
)
def test_concepts_inside_broken_json_are_not_taken_for_all_concepts(broken: str) -> None:
    with pytest.raises(ValueError, match=r"not valid|cut off"):
        parse_concepts(f'{{"head": {{"bill": {json.dumps(LAYOUT["bill"])}}}, {broken}', CLASSES)


def test_long_layouts_are_shown_with_two_classes() -> None:
    with pytest.raises(ValueError, match=r'{"concept name": {"a": "...", "b": "...", ...}, ...}'):
        parse_concepts("", ["a", "b", "c"])


_PARTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["landbird", "Waterbirds", "name", "x", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.one_of(st.text(), st.text('{}[]":,ab\\u0 \n'), _PARTS.map(json.dumps)))
@example('{"a' * 30_000)
@example('{"\\' * 30_000)
@example('{"a":[' * 10_000)
@example('{"a": "\\ud800", "b": {"\\udfff": 1e999999}}')
def test_any_response_gives_concepts_or_one_reason(text: str) -> None:
    try:
        concepts = parse_concepts(text, CLASSES)
    except ValueError as error:
        reason = str(error)
        reason.encode()
        assert "\n" not in reason
        return
    assert all(len(concept.descriptions) == 2 and all(concept.descriptions) for concept in concepts.concepts)
    assert parse_concepts(json.dumps(concepts.by_class(CLASSES)), CLASSES) == concepts


def test_a_file_in_utf_8_is_read_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    concepts = ConceptSet(concepts=(Concept(name="Füße", descriptions=("Zehen", "Schwimmhäute")), BILL))
    text = json.dumps(concepts.by_class(CLASSES), ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "concepts.json").write_text(f"\n{text}\n", encoding=encoding)
        assert read_concepts(tmp_path / "concepts.json", "concepts.file", CLASSES) == concepts


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "it is not valid JSON (Expecting value at line 1, column 1); write {"),
        (f"```json\n{PLAIN}\n```".encode(), "it is not valid JSON"),
        (PLAIN[:-1].encode(), "it is not valid JSON"),
        (PLAIN.encode("utf-16"), "it is not UTF-8; save it in that encoding."),
        (b"[" * MAX_CHARACTERS, "its JSON is nested too deeply; write {"),
        ("ü".encode() * MAX_BYTES, "it has more than 400,000 bytes; write fewer or shorter descriptions."),
        (json.dumps(ARRAY).encode(), "the JSON is an array; expected an object with one object per concept."),
        (json.dumps({"concepts": LAYOUT}).encode(), "the concept 'concepts' has the key 'feet', which is not a class"),
        (
            one(landbird="a", waterbird="b", seabird="c").encode(),
            "the concept 'feet' has the key 'seabird', which is not",
        ),
        (one(landbird="a").encode(), "the concept 'feet' has no description for the class 'waterbird'; add one."),
    ],
)
def test_a_file_in_another_layout_is_refused(tmp_path: Path, raw: bytes, problem: str) -> None:
    path = tmp_path / "concepts.json"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        read_concepts(path, "concepts.file", CLASSES)
    assert str(caught.value).startswith(f"concepts.file is {str(path)!r}, but {problem}")


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(
            ConfigError, match=r"concepts\.file is '.*', but it cannot be read .*; it must be a JSON file"
        ):
            read_concepts(path, "concepts.file", CLASSES)


def test_a_concept_with_one_description_for_all_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="'eyes' has the same description for all classes; describe how they differ"):
        parse_concepts('{"eyes": {"ant": "It has eyes", "bee": "It has eyes"}}', ["ant", "bee"])
