"""README and docs name only commands, keys, files and modules that exist."""

import importlib
import importlib.util
import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from alchemist_exp import config, registry
from alchemist_exp.cli.main import COMMANDS
from alchemist_exp.core.component import Component

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}


def keys() -> set[str]:
    """Return every dotted configuration key that a component of a group has, and those outside of the groups."""
    found = {"force", "budget.usd", "paths.outputs", "paths.data"}
    for group, schemas in registry.components().items():
        for schema in schemas.values():
            found |= {f"{group}.{name}" for name in field_names(schema)}
    return found


def field_names(schema: type[Component]) -> set[str]:
    """Return the names of the fields of a component, class variables excluded."""
    return {field.name for field in fields(schema)}


@pytest.fixture(scope="module")
def known() -> set[str]:
    return keys()


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_exists(page: str) -> None:
    named = re.findall(r"(?:^|[`/ ])alchemist ([a-z-]+)", TEXTS[page], re.M)
    assert set(named) <= set(COMMANDS)


@pytest.mark.parametrize("page", TEXTS)
def test_every_configuration_key_and_member_exists(page: str, known: set[str]) -> None:
    groups = {key.partition(".")[0] for key in known if "." in key} - {"budget", "paths"}
    pattern = rf"(?<![\w./])({'|'.join(groups)}|budget|paths)\.(\w+)(?!\w*[.(/])"
    assert {f"{group}.{key}" for group, key in re.findall(pattern, TEXTS[page])} <= known | OWN_KEYS
    without_python = re.sub(r"^```python.*?^```$", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)
    chosen = re.findall(rf"(?<![\w.])({'|'.join(groups)})=([\w,\"]+)(?![\w./])", without_python)
    for group, members in chosen:
        for member in members.replace('"', "").split(","):
            assert member in config.members(group) or member in OWN_MEMBERS, f"{group}={member}"


OWN_KEYS = {"label_model.prior_votes", "method.words"}
"""Keys of the components that docs/extending.md adds."""

OWN_MEMBERS = {"mine", "comments", "NAME", ""}
"""Members that the pages write as examples of a reader's own."""


@pytest.mark.parametrize("page", TEXTS)
def test_every_module_and_file_exists(page: str) -> None:
    for name in set(re.findall(r"\balchemist_exp(?:\.\w+)+", TEXTS[page])):
        parent, _, last = name.rpartition(".")
        if name == registry.ENTRY_POINTS:
            continue
        assert exists(name) or hasattr(importlib.import_module(parent), last), name
    for path in set(re.findall(r"`((?:alchemist_exp|conf|docs|examples|scripts|tests)/[\w./-]+)`", TEXTS[page])):
        assert (ROOT / path).exists(), path
    if page == "docs/architecture.md":
        for path in set(re.findall(r"`((?:results|sandbox|llm|pipeline|programs)/[\w./-]+)`", TEXTS[page])):
            assert (ROOT / "alchemist_exp" / path).exists(), path


def test_the_layers_of_the_architecture_page_are_those_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    table = TEXTS["docs/architecture.md"].partition("| layer | content |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`(?:alchemist_exp\.)?(\w+)`", row.split("|")[1]) for row in table.splitlines()[2:]]
    assert rows == [re.findall(r"alchemist_exp\.(\w+)", layer) for layer in layers]


def exists(module: str) -> bool:
    """Return whether a module of that name exists."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", TEXTS)
def test_every_extra_make_target_and_relative_link_exists(page: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"-e '\.\[(\w+)\]'", TEXTS[page])) <= {*extras, "NAME"}
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z]+)", TEXTS[page], re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXTS[page]):
        assert (ROOT / page).parent.joinpath(link).exists(), link


HOOKS_FILE = ROOT / "scripts" / "mkdocs_hooks.py"


@pytest.fixture(scope="module")
def hooks():
    """Return the module that generates the configuration reference."""
    spec = importlib.util.spec_from_file_location("mkdocs_hooks", HOOKS_FILE)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@pytest.mark.parametrize("group", [group for group in config.groups() if group != "experiment"])
def test_the_reference_has_every_key_of_every_member_with_its_comment(hooks, group: str) -> None:
    page = hooks.group_page(group)
    for member in config.members(group):
        assert f"## {member}\n" in page
        path = hooks.CONF / group / f"{member}.yaml"
        found = hooks.keys(path)
        assert not [name for name, key in found.items() if not key.comment and name not in HIDDEN_KEYS], path
        schema = registry.components()[group].get(schema_of(hooks, path))
        assert schema, f"{path} names no schema"
        missing = field_names(schema) - {key.partition(".")[0] for key in found}
        assert not missing - HIDDEN_KEYS - FIXED_KEYS.get(member, set()), path


def test_links_to_conf_lead_to_the_generated_pages_on_the_site(hooks) -> None:
    text = "[a](../conf/) [b](../conf/llm/) [c](runs.md) [d](../conf/config.yaml)"
    found = hooks.on_page_markdown(text, page=None, config=None, files=None)
    assert found == "[a](configuration/index.md) [b](configuration/llm.md) [c](runs.md) [d](../conf/config.yaml)"


HIDDEN_KEYS = {"name", "of", "models", "parts"}
"""Keys without a comment: the member's name, and keys that hold other members, as `label_model.models` does."""

FIXED_KEYS = {
    "image_files": {
        "columns",
        "show_examples",
        "human_votes_column",
        "reviewed",
        "multi_label",
        "zero_shot_prompt",
        "text_column",
    },
    "toy_birds": {"zero_shot_prompt"},
    "waterbirds": {"zero_shot_prompt"},
}
FIXED_KEYS["clip_toy"] = {"weights", "sha256"}
"""Keys that a base class has and a member leaves out, because only one value makes sense."""


def schema_of(hooks, path: Path) -> str:
    """Return the name of the schema that a member is built on, found in it or in the members it inherits from."""
    for parent in hooks.defaults(path):
        file = path.with_name(f"{parent}.yaml")
        if not file.exists() and parent.startswith("_") and parent != "_self_":
            return parent.removeprefix("_")
        if file.exists() and (found := schema_of(hooks, file)):
            return found
    return ""
