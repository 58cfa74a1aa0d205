"""Vetting: each check rejects what it should, and no more."""

from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import ABSTAIN, Split
from alchemist_exp.programs.types import Program, Rejected, RejectionStage
from alchemist_exp.programs.vetting import Vetter, agreement, below_chance, below_chance_on_sets
from tests.support.contexts import run_context, text_data

TRAIN = [f"{'win' if n % 2 else 'hello'} {n}" for n in range(300)]
VALID = [f"{'win' if n % 2 else 'hello'} {n}" for n in range(40)]
GOLD = np.arange(40) % 2
GOOD = "def label_function(t): return 1 if 'win' in t else 0"


@pytest.fixture
def vetter(composed, tmp_path: Path):
    def build(*overrides: str, gold: bool = True) -> Vetter:
        experiment = config.build(composed(*overrides))
        labels = {Split.VALID: GOLD} if gold else {}
        context = run_context(experiment, text_data({"train": TRAIN, "valid": VALID}), tmp_path, gold=labels)
        return Vetter(experiment.vetting, context)

    return build


def stages(vetter: Vetter, *sources: str, first: int = 0) -> list[RejectionStage | None]:
    """Where each program was lost, None where it was not."""
    programs = [Program(source=source, origin=f"p{n}") for n, source in enumerate(sources, start=first)]
    vetted = vetter.vet_finally(programs)
    assert [p for p in programs if p in vetted.accepted] == list(vetted.accepted)
    lost = {rejected.origin: rejected.stage for rejected in vetted.rejected}
    return [lost.get(program.origin) for program in programs]


ALWAYS_LOST = {
    RejectionStage.LOAD: "import re\nx = 1 / 0\ndef label_function(t): return 1",
    RejectionStage.ERRORS: "def label_function(t): return 1 // 0",
}
BASIC = {
    RejectionStage.SYNTAX: "def label_function(t) return 1",
    RejectionStage.SIGNATURE: "def label(t): return 1",
    RejectionStage.IMPORT: "import nltk\ndef label_function(t): return 1",
    RejectionStage.DUPLICATE: "# mine\n" + GOOD,
    RejectionStage.NO_VOTE: "def label_function(t): return -1",
    RejectionStage.CONSTANT: "def label_function(t): return 1",
}
STRICT = {
    RejectionStage.NONDETERMINISTIC: "n = 0\ndef label_function(t):\n    global n\n    n += 1\n    return n % 2",
    RejectionStage.COVERAGE: "def label_function(t): return 1 if t == 'win 7' else -1",
    RejectionStage.SAME_VOTES: GOOD.replace("'win'", "'wi'"),
    RejectionStage.BELOW_CHANCE: "def label_function(t): return 0 if 'win' in t else 1",
}


def test_basic_vetting_lets_through_what_strict_vetting_does_not(vetter) -> None:
    lost = ALWAYS_LOST | BASIC
    assert stages(vetter("vetting=basic"), GOOD, *lost.values(), *STRICT.values()) == [None, *lost, *[None] * 4]


def test_strict_vetting_names_each_stage(vetter) -> None:
    lost = ALWAYS_LOST | BASIC | STRICT
    assert stages(vetter("vetting=strict"), GOOD, *lost.values()) == [None, *lost]


def test_without_vetting_only_what_cannot_vote_is_lost(vetter) -> None:
    everything = [GOOD, *ALWAYS_LOST.values(), *BASIC.values(), *STRICT.values()]
    cannot_vote = {
        RejectionStage.SYNTAX: RejectionStage.LOAD,
        RejectionStage.SIGNATURE: RejectionStage.LOAD,
        RejectionStage.IMPORT: RejectionStage.LOAD,
        RejectionStage.LOAD: RejectionStage.LOAD,
    }
    cannot_vote |= {RejectionStage.ERRORS: RejectionStage.NO_VOTE, RejectionStage.NO_VOTE: RejectionStage.NO_VOTE}
    lost = [cannot_vote.get(stage) for stage in (*ALWAYS_LOST, *BASIC, *STRICT)]
    assert stages(vetter("vetting=off"), *everything) == [None, *lost]


def test_where_rows_are_few_all_of_them_are_probes(vetter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.TRAIN", TRAIN[:20])
    faulty = "def label_function(t): return 1 // (len(t) % 2)"
    assert stages(vetter("vetting=strict"), GOOD, faulty, STRICT[RejectionStage.NONDETERMINISTIC]) == [
        None,
        RejectionStage.ERRORS,
        RejectionStage.NONDETERMINISTIC,
    ]


def test_what_is_sent_once_more_hears_again_what_is_wrong_with_it(vetter) -> None:
    one = vetter("vetting=basic")
    bad = [Program(source="def label_function(t): return -1", origin=f"p{n}") for n in range(2)]
    first, second = one.vet(bad[:1]).rejected[0], one.vet(bad[1:]).rejected[0]
    assert second.stage is RejectionStage.DUPLICATE
    assert second.reason == f"the same program as p0, which was rejected: {first.reason}"


def test_gold_is_used_only_where_it_may_be_and_then_said(vetter) -> None:
    inverse = STRICT[RejectionStage.BELOW_CHANCE]
    with_gold, without = vetter("vetting=strict"), vetter("vetting=strict", gold=False)
    assert stages(with_gold, inverse) == [RejectionStage.BELOW_CHANCE]
    assert with_gold.context.gold.uses == ["valid: vetting (40 rows)"]
    assert stages(without, inverse) == [None]
    assert without.context.gold.uses == []


def test_what_goes_back_to_the_llm_does_not_depend_on_gold(vetter) -> None:
    one, inverse = vetter("vetting=strict"), STRICT[RejectionStage.BELOW_CHANCE]
    first, second = (Program(source=inverse, origin=origin) for origin in ("p0", "p1"))
    assert one.vet([first]).rejected == ()
    assert one.vet_finally([first]).rejected[0].reason == "right on 0.0% of 40 valid rows; chance gives 50.0%"
    assert one.vet([second]).rejected[0].reason == "the same program as p0"


def test_a_later_candidate_is_held_against_those_accepted_before(vetter) -> None:
    one = vetter("vetting=strict")
    assert stages(one, GOOD) == [None]
    assert stages(one, GOOD) == [None], "a candidate is judged once"
    assert stages(one, GOOD, first=1) == [RejectionStage.DUPLICATE]
    assert stages(one, GOOD.replace("'win'", "'wi'")) == [RejectionStage.SAME_VOTES]


def test_a_program_like_one_that_was_itself_rejected_may_pass(vetter) -> None:
    inverse = STRICT[RejectionStage.BELOW_CHANCE]
    assert stages(vetter("vetting=strict"), inverse, GOOD) == [RejectionStage.BELOW_CHANCE, None]


def test_order_is_kept_and_earlier_rejections_stay(vetter) -> None:
    early = Rejected(origin="early", stage=RejectionStage.NO_CODE, reason="the reply holds no code")
    bad, good = Program(source="x", origin="bad"), Program(source=GOOD, origin="good")
    vetted = vetter("vetting=basic").vet([bad, early, good])
    assert vetted.accepted == (good,)
    assert [(r.origin, r.reason, r.id) for r in vetted.rejected] == [
        ("bad", "defines no label_function", bad.id),
        ("early", "the reply holds no code", None),
    ]


def test_messages_of_programs_are_made_harmless(vetter) -> None:
    source = "def label_function(t): raise ValueError('\\x1b[2J\\n' + 'x' * 999)"
    (rejected,) = vetter("vetting=basic").vet([Program(source=source, origin="p")]).rejected
    assert "\x1b" not in rejected.reason
    assert len(rejected.reason) <= 300


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [([1, -1, 0], [1, -1, 1], 0.5), ([1, 1], [1, 1], 1.0), ([-1, -1], [-1, -1], 1.0), ([-1, 1], [0, -1], 0.0)],
)
def test_rows_that_neither_votes_on_are_no_agreement(one: list[int], other: list[int], share: float) -> None:
    assert agreement(np.array(one, dtype=np.int8), np.array(other, dtype=np.int8)) == share


def test_chance_is_what_the_classes_give() -> None:
    gold = np.array([0] * 90 + [1] * 10)
    rare = np.full(100, -1, dtype=np.int8)
    rare[80:] = 1  # right on 10 of 20, where chance is right on 2
    assert below_chance(rare, gold, 2) is None
    frequent = np.full(100, -1, dtype=np.int8)
    frequent[75:95] = 0  # right on 15 of 20, where chance is right on 18
    found = below_chance(frequent, gold, 2)
    assert found is not None
    assert found.reason == "right on 75.0% of 20 valid rows; chance gives 90.0%"
    assert below_chance(frequent[:80], gold[:80], 2) is None  # too few votes to say


@pytest.mark.parametrize(
    "override", ["vetting.n_probe_rows=-1", "vetting.max_failure_rate=1.5", "vetting.max_agreement=-0.1"]
)
def test_thresholds_that_cannot_be_are_refused(composed, override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        config.build(composed(override))


def test_programs_for_several_classes_are_compared_with_chance() -> None:
    gold = np.tile([1, 2, 3, 0], 10)
    assert below_chance_on_sets(gold, gold, 2) is None
    assert below_chance_on_sets(np.full(40, 1), gold, 2) is None  # as good as the share of its class
    failure = below_chance_on_sets(3 - gold, gold, 2)
    assert failure is not None
    assert failure.reason == "right on 0.0% of the classes of 40 valid rows; chance gives 50.0%"
    rng = np.random.default_rng(0)
    for _ in range(50):  # constant votes are at chance, in spite of rounding
        masks = rng.integers(0, 8, 41)
        assert below_chance_on_sets(np.full(41, rng.integers(0, 8)), masks, 3) is None
    together = np.where(rng.random(200) < 0.5, 1, 2) | 4  # the program leaves out a class that always holds
    votes = np.where(together & 1, 1, ABSTAIN)
    assert below_chance_on_sets(votes, together, 3) is None
    few = np.where(np.arange(40) < 9, 3 - gold, ABSTAIN)
    assert below_chance_on_sets(few, gold, 2) is None
