"""A mistake in a user's own YAML file is one sentence with the file and the line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import alchemist_exp
from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError

DEFAULTS = "defaults: [snorkel, _self_]\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """The file of a member in a --config-dir, which is forgotten afterwards."""
    (tmp_path / "label_model").mkdir()
    yield tmp_path / "label_model" / "mine.yaml"
    config.register()


def mistake(directory: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        alchemist_exp.load_component("label_model=mine", config_dir=directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: mine\n  x: [\n", "line 2, is not valid YAML: mapping values are not allowed here; fix it."),
        (f"{DEFAULTS}\tname: mine\n", "line 2, is not valid YAML: found character '\\t' that cannot start any token"),
        (f"{DEFAULTS}name: mine\nname: mine\n", "line 3, is not valid YAML: found duplicate key name"),
        (f"{DEFAULTS}starts: !!python/object:os.system x\n", "line 2, is not valid YAML: could not determine"),
        ("a: 'x\n", "is not valid YAML: found unexpected end of stream"),
        ("- a\n- b\n", "line 1: the file has no keys"),
        ("some text\n", "line 1: the file has no keys"),
        ("name: mine\ndefaults: snorkel\n", "line 2: defaults needs a list"),
        ("defaults:\n  - snorkell\n", "line 2: the member 'snorkell' is unknown; did you mean 'snorkel'? Known: "),
        (f"{DEFAULTS}name: other\n", "line 2: name is 'other', and the file is mine.yaml; make them the same."),
        (f"{DEFAULTS}starts: many\n", "line 2: label_model.starts is 'many'; expected a whole number."),
        (
            f"{DEFAULTS}\nstarts: [1, 2]\n",
            "line 3: label_model.starts is '[1, 2]'; expected a whole number.",
        ),
        (
            f"{DEFAULTS}starts: '${{foo'\n",
            "line 2: '${foo' is not a valid reference; a text that contains ${ has",
        ),
        (f"{DEFAULTS}name: caf\u00e9\n".encode("latin-1"), "line 2, is not UTF-8; save the file as UTF-8."),
        (f"{DEFAULTS}name: a\x01b\n", "line 2, has a control character; remove it."),
    ],
)
def test_the_file_and_the_line_are_named(own: Path, text: str | bytes, expected: str) -> None:
    own.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = mistake(own.parents[1])
    assert message.startswith(f"{own}, line ")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "starts"),
    [(f"{DEFAULTS}starts: 7\n", 7), (f"# ä\n{DEFAULTS}name: mine\nstarts: 8\n", 8)],
)
def test_a_right_file_is_a_member(own: Path, text: str, starts: int) -> None:
    own.write_text(text, encoding="utf-8")
    assert alchemist_exp.load_component("label_model=mine", config_dir=own.parents[1]).starts == starts


@pytest.mark.parametrize(("name", "advice"), [("label_models", "rename one to label_model."), ("x", "NAME.yaml")])
def test_a_directory_without_groups_is_refused(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).mkdir()
    message = mistake(tmp_path)
    assert message.startswith(f"--config-dir is {tmp_path}, which has no directory of a group (concepts, dataset, ")
    assert advice in message
    config.register()
