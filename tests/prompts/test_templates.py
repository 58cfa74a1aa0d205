"""Prompt templates: what is replaced, what is refused, and that a changed prompt is another run."""

from dataclasses import replace
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.pipeline.compatibility import check_experiment
from alchemist_exp.prompts.filling import fill
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
        check_experiment(config.build(composed(*overrides)))
    other = [override for override in overrides if not override.startswith("method.")]
    assert check_experiment(config.build(composed("method=human", *other))) is None


def test_the_template_of_spurious_differences_alters_no_key_unless_it_is_changed(composed) -> None:
    assert "spurious" not in config.build(composed()).prompt.cache_key()
    changed = config.build(composed("prompt.spurious='Which backgrounds have [quoted_classes]?'")).prompt
    assert "spurious" in changed.cache_key()


def test_the_prompt_for_several_classes_asks_for_a_list(composed, prompts) -> None:
    single = config.build(composed("dataset=youtube")).dataset.describe_task()
    text = prompts.program_request(replace(single, multi_label=True))
    assert text == (
        f"{single.description}\n\n"
        "If the comment is ham, the list that the function returns contains 0.\n"
        "If the comment is spam, the list that the function returns contains 1.\n"
        "Several of the classes may hold for one comment, and then the list contains the index of each of them. If "
        "none of the classes holds, the list is empty.\n"
        "If the classes of the comment cannot be determined, the function returns -1 instead of a list.\n\n"
        "def label_function(comment: str) -> list[int]:"
    )
    assert "multi_label" not in prompts.cache_key()
    changed = config.build(composed("prompt.multi_label.set_instruction='Name all classes.'")).prompt
    assert "multi_label" in changed.cache_key()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prompt.multi_label.class_instruction='[class] is a class'", r"class_instruction has no \[index\]"),
        ("+prompt.multi_label.other=x", "the key of prompt.multi_label 'other' is unknown"),
        ("prompt.multi_label.signature='def f([parameter]):'", "must be called label_function"),
    ],
)
def test_an_unusable_template_for_several_classes_is_refused(
    composed, override: str, message: str, tmp_path: Path
) -> None:
    (path := tmp_path / "a.csv").write_text("text,label\nx,a\n")
    chosen = (
        "dataset=files",
        f"dataset.path={path}",
        "dataset.prompt=x",
        "dataset.classes=[a,b]",
        "llm.recording=youtube",
    )
    with pytest.raises(ConfigError, match=message):
        check_experiment(config.build(composed(*chosen, "dataset.multi_label=true", override)))
