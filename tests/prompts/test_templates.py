"""Prompt templates: what is replaced, what is refused, and that a changed prompt is another run."""

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.prompts.templates import fill
from tests.support.contexts import TASK


def test_placeholders_are_replaced_in_one_pass() -> None:
    assert fill("[a] and [b] and [other]", {"a": "[b]", "b": "[a]"}) == "[b] and [a] and [other]"


def test_brackets_in_programs_and_rows_stay(prompts) -> None:
    assert "x = [request]" in prompts.repair_request("ask", "x = [request]", "[reason] it")
    assert '- "[class] 1" is ham' in prompts.exemplar_supplement(TASK, [("[class]  1", 0)])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prompt.repair='[request] [reason]'", r"prompt\.repair has no \[program\]"),
        ("prompt.class_instruction='return [index]'", r"prompt\.class_instruction has no \[class\]"),
        ("prompt.program=['[task]','[signature]']", r"prompt\.program has no \[instructions\]"),
    ],
)
def test_a_template_without_its_placeholder_is_refused(composed, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(composed(override))


def test_another_prompt_is_asked_again_and_is_another_run(composed) -> None:
    one, other = (
        config.build(composed(*o)) for o in ((), ("prompt.signature='def label_function(row: str) -> int:'",))
    )
    assert one.run_key("data") != other.run_key("data")
    assert other.prompt.program_request(TASK).endswith("def label_function(row: str) -> int:")
    keys = {e.llm.request(e.prompt.program_system, e.prompt.program_request(TASK)).key for e in (one, other)}
    assert len(keys) == 2


def test_methods_without_llm_do_not_depend_on_the_prompt(composed) -> None:
    keys = {config.build(composed("method=human", *o)).run_key("data") for o in ((), ("prompt.program_system=x",))}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("supplement=rules", "prompt.program=['[task]','[instructions]','[signature]']"), "supplement=rules would"),
        (
            ("method.performance_hint=true", "prompt.program=['[task]','[instructions]','[signature]']"),
            "method.performance_hint=true would",
        ),
        (("prompt.signature='def classify([subject]: str) -> int:'",), "the function must be called label_function"),
    ],
)
def test_a_prompt_that_drops_what_is_configured_is_refused(composed, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(composed(*overrides)).check()
    other = [override for override in overrides if not override.startswith("method.")]
    assert config.build(composed("method=human", *other)).check() is None


def test_the_template_of_spurious_differences_alters_no_key_unless_it_is_changed(composed) -> None:
    assert "spurious" not in config.build(composed()).prompt.cache_key()
    changed = config.build(composed("prompt.spurious='Which backgrounds have [quoted_classes]?'")).prompt
    assert "spurious" in changed.cache_key()
