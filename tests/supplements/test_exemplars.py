"""Which labeled rows are shown, in what words, and who is told."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.task import Task
from alchemist_exp.pipeline.compatibility import check_experiment
from alchemist_exp.supplements.exemplars import sample_diverse, sample_random, sample_uncertain

GOLD = np.array([0, 1, 0, 1, 0, 0, 2])
golds = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(np.array)


@given(golds, st.integers(1, 8), st.integers(0, 99))
def test_each_class_gives_what_it_can(gold: np.ndarray, per_class: int, seed: int) -> None:
    features = np.random.default_rng(0).random((len(gold), 3)).astype(np.float32)
    entropy = features[:, 0]
    for rows in (
        sample_random(gold, per_class, np.random.default_rng(seed)),
        sample_diverse(features, gold, per_class, np.random.default_rng(seed)),
        sample_uncertain(entropy, gold, per_class),
    ):
        assert len(set(rows)) == len(rows)
        counts = np.bincount(gold[rows], minlength=4)
        assert counts.tolist() == np.minimum(np.bincount(gold, minlength=4), per_class).tolist()


def test_a_seed_draws_the_same_rows_and_another_seed_others() -> None:
    gold = np.zeros(50, dtype=int)
    drawn = [tuple(sample_random(gold, 5, np.random.default_rng(seed))) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_diverse_rows_lie_apart_even_where_most_are_alike() -> None:
    features = np.array([[0.0], [0.01], [0.02], [5.0], [0.03], [-5.0]], dtype=np.float32)
    rows = sample_diverse(features, np.zeros(6, dtype=int), 3, np.random.default_rng(0))
    assert {3, 5} <= set(rows)


def test_uncertain_rows_are_the_least_sure_first_of_equals() -> None:
    entropy = np.array([0.1, 0.5, 0.6, 0.5, 0.6, 0.2, 0.0], dtype=np.float32)
    assert sample_uncertain(entropy, GOLD, 2) == [2, 4, 1, 3, 6]


def test_rows_are_shown_on_one_line_each_and_not_in_full_length(prompts) -> None:
    task = Task(
        name="t", description="d", classes=("ham", "spam"), subject="comment", relation="is", zero_shot_prompt="[text]"
    )
    shown = prompts.exemplar_supplement(task, [("a\n\n  b", 0), ("x" * 1000, 1)])
    assert shown.splitlines() == [
        "Examples of a comment and its class:",
        '- "a b" is ham',
        f'- "{"x" * 400}..." is spam',
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["supplement.split=test"], "test rows are never shown to the LLM"),
        (["supplement.per_class=0"], "supplement.per_class is 0; expected 1 to 50"),
        (["supplement.first_programs=2"], "supplement.first_programs is 2; expected 3 to 100"),
        (["supplement.seed=-1"], "supplement.seed is -1; expected 0 to"),
        (["supplement.sampling=diverse"], "needs supplement.source=data, too"),
        (["supplement.source=data", "supplement.text=x"], "leave one of them out"),
        (["supplement.text=x", "supplement.file=y"], "supplement.text and supplement.file are both given"),
        (["supplement.text=' '"], "supplement.text is empty"),
        ([f"supplement.text={'x' * 100_001}"], "supplement.text has 100,001 characters"),
    ],
)
def test_what_cannot_be_is_refused(composed, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(composed("supplement=exemplars", *overrides))


def test_labeled_rows_need_gold(composed) -> None:
    asked = ["supplement=exemplars", "supplement.source=data", "gold=none"]
    with pytest.raises(ConfigError, match="shows labeled rows, and gold is none; use gold=valid"):
        check_experiment(config.build(composed(*asked)))
    mixed = ["supplement=mixed", "supplement.of.exemplars.source=data", "gold=none"]
    with pytest.raises(ConfigError, match="shows labeled rows"):
        check_experiment(config.build(composed(*mixed)))
    check_experiment(config.build(composed(*mixed, "supplement.strategies=[general,rules]")))


def test_a_users_file_counts_by_its_words(composed, tmp_path) -> None:
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    for path in (one, other):
        path.write_text("Spam sells.\n")
    keys = [
        config.build(composed("supplement=rules", f"supplement.file={path}")).supplement.cache_key()
        for path in (one, other)
    ]
    assert keys[0] == keys[1]
    other.write_text("Spam begs.\n")
    changed = config.build(composed("supplement=rules", f"supplement.file={other}")).supplement
    assert changed.cache_key() != keys[0]
    other.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8"):
        check_experiment(config.build(composed("supplement=rules", f"supplement.file={other}")))
    with pytest.raises(ConfigError, match="which cannot be a path"):
        check_experiment(config.build(composed("supplement=rules", "supplement.file='~nobody_of_that_name/x'")))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot be read: not a file"):
        check_experiment(config.build(composed("supplement=rules", f"supplement.file={tmp_path / 'pipe'}")))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        check_experiment(config.build(composed("supplement=rules", "supplement.file=/nowhere.txt")))
