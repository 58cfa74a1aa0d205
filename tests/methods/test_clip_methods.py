"""Methods that label images by prompts: CLIP zero-shot, group prompts, RoboShot."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from rich.console import Console

from alchemist_exp import config
from alchemist_exp.concepts.parsing import parse_concepts
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.progress import NoProgress, StageProgress
from alchemist_exp.core.types import Split
from alchemist_exp.evaluation.groups import GroupScores, score_groups
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.providers.recorded import RECORDINGS
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.methods.clip import label_by_scores
from alchemist_exp.methods.roboshot import correct_vectors, directions, orthonormal_basis, removed_share
from alchemist_exp.pipeline.compatibility import check_experiment
from alchemist_exp.pipeline.plan import plan
from alchemist_exp.pipeline.run import label_rows, run
from alchemist_exp.pipeline.stages import make_context
from alchemist_exp.results.console import render
from tests.methods.test_methods import Scripted

pytestmark = pytest.mark.usefixtures("shared_stages")

CLASSES = ("landbird", "waterbird")
BIRDS = ("dataset=toy_birds", "feature_extractor=clip_toy", "logger=none", "seed=s0")
SMALL = (*BIRDS, "dataset.n_train=200", "dataset.n_valid=40", "dataset.n_test=80", "end_model.max_epochs=3")
CONCEPTS = json.dumps({"feet": {"landbird": "toed feet", "waterbird": "webbed feet"}})
BACKGROUND = json.dumps({"place": {"landbird": "a forest", "waterbird": "a lake"}})


def random_vectors(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def recorded_differences() -> dict[str, dict[str, str]]:
    """The spurious differences that the recording has for toy_birds."""
    lines = (RECORDINGS / "toy_birds.jsonl").read_text(encoding="utf-8").splitlines()
    (response,) = [row["response"] for row in map(json.loads, lines) if row["strategy"] == "spurious"]
    return parse_concepts(response, CLASSES).by_class(CLASSES)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs directory of all tests, so that images are encoded once."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def context_of(composed, outputs, tmp_path):
    """Returns an experiment, its data and the context of a run; `llm` answers in place of the recording."""

    def build(*overrides: str, llm: Scripted | None = None):
        experiment = config.build(composed(f"paths.outputs={outputs}", *overrides))
        data = experiment.dataset.load()
        context, _ = make_context(experiment, data, StageProgress(NoProgress()))
        if llm is not None:
            context = replace(context, llm_client=LLMClient(llm, ResponseCache(tmp_path / "replies"), tmp_path))
        return experiment, data, context

    return build


@pytest.fixture
def ran(composed, outputs):
    def run_with(*overrides: str):
        cfg = composed(*SMALL, f"paths.outputs={outputs}", *overrides)
        result = run(config.build(cfg), config.to_container(cfg), list(overrides), NoProgress())
        out = io.StringIO()
        Console(file=out, width=160).print(render(result.record, "directory", reused=False))
        return result, out.getvalue()

    return run_with


@pytest.mark.parametrize("n_classes", [2, 4])
def test_directions_are_the_differences_of_all_pairs_of_classes(n_classes: int) -> None:
    descriptions = random_vectors(3, n_classes, 16)
    found = directions(descriptions)
    assert found.shape == (3 * n_classes * (n_classes - 1) // 2, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
    difference = descriptions[0, 0].astype(float) - descriptions[0, 1]
    np.testing.assert_allclose(found[0], difference / np.linalg.norm(difference), atol=1e-6)


def test_equal_descriptions_have_no_direction() -> None:
    same = np.repeat(random_vectors(1, 1, 8), 2, axis=1)
    assert orthonormal_basis(directions(same)).shape == (0, 8)


def test_the_basis_of_dependent_directions_has_their_rank() -> None:
    basis = orthonormal_basis(directions(random_vectors(2, 4, 16)))
    assert basis.shape == (6, 16)  # 12 pairs, of which 3 of each concept are independent
    np.testing.assert_allclose(basis @ basis.T, np.eye(6), atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_removed_directions_have_no_component_left(n_classes: int) -> None:
    removed = directions(random_vectors(2, n_classes, 32))
    images = random_vectors(50, 32, seed=1)
    corrected = correct_vectors(images, orthonormal_basis(removed), np.zeros((0, 32)))
    assert np.abs(corrected @ removed.T).max() < 1e-6
    np.testing.assert_allclose(np.linalg.norm(corrected, axis=1), 1.0)


def test_increased_directions_are_doubled_and_others_are_kept() -> None:
    increase = orthonormal_basis(directions(random_vectors(2, 3, 32)))
    images = random_vectors(50, 32, seed=1)
    corrected = correct_vectors(images, np.zeros((0, 32)), increase)
    lengths = np.linalg.norm(images + images @ increase.T @ increase, axis=1, keepdims=True)
    np.testing.assert_allclose(corrected @ increase.T * lengths, 2 * images @ increase.T, atol=1e-6)
    others = np.eye(32) - increase.T @ increase
    np.testing.assert_allclose(corrected @ others * lengths, images @ others, atol=1e-6)


def test_images_without_anything_left_are_an_error() -> None:
    with pytest.raises(ConfigError, match="leave nothing of an image"):
        correct_vectors(random_vectors(2, 3), np.eye(3), np.zeros((0, 3)))


def test_the_removed_share_of_the_class_direction() -> None:
    prompts = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert removed_share(prompts, np.zeros((0, 3))) == 0
    assert removed_share(prompts, np.eye(3)[:1]) == pytest.approx(0.5)
    assert removed_share(prompts, np.eye(3)[2:]) == pytest.approx(0)


def test_rows_get_the_class_with_the_largest_score() -> None:
    result = label_by_scores("m", {Split.TRAIN: np.array([[0.20, 0.22, 0.21], [0.3, 0.1, 0.0]], dtype=np.float32)})
    probs = result.labels[Split.TRAIN].probs
    expected = np.exp([-2.0, 0.0, -1.0])
    np.testing.assert_allclose(probs[0], expected / expected.sum(), rtol=1e-4)
    assert result.labels[Split.TRAIN].covered.all()
    assert result.sources.matrices[Split.TRAIN].votes.tolist() == [[1], [0]]


def test_the_printed_and_the_guessed_group_prompts(composed) -> None:
    method = config.build(composed(*BIRDS, "method=clip_group")).method
    assert {prompt for of_class in method.prompts_of(CLASSES) for prompt in of_class} == {
        "waterbird on water background",
        "waterbird on land background",
        "landbird on water background",
        "landbird on land background",
    }
    coded = config.build(composed(*BIRDS, "method=clip_group", "method.prompts=as_coded")).method
    assert coded.prompts_of(CLASSES) == [
        ["landbird on land background"] * 2,
        ["waterbird on water background", "waterbird on land background"],
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=clip_zero_shot", "method.class_prompt='a bird'"], r"method\.class_prompt has no \[class\]"),
        (["method=roboshot", "method.class_prompt='a bird'"], r"method\.class_prompt has no \[class\]"),
        (["method=clip_group", "method.group_prompt='a [class]'"], r"method\.group_prompt has no \[group\]"),
        (["method=clip_group", "method.group_values=[sea,sea]"], r"method\.group_values=\['sea', 'sea'\]; expected 2"),
        (["method=clip_group", "method.group_values=[]"], r"method\.group_values=\[\]; expected 2"),
    ],
)
def test_prompts_without_their_placeholders_are_refused(composed, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(composed(*BIRDS, *overrides))


@pytest.mark.parametrize("method", ["clip_zero_shot", "clip_group", "roboshot"])
def test_texts_are_refused(composed, method: str) -> None:
    with pytest.raises(ConfigError, match=rf"method={method} labels images"):
        check_experiment(config.build(composed(f"method={method}")))


@pytest.mark.parametrize("method", ["clip_zero_shot", "clip_group"])
def test_a_whole_run_asks_no_llm_and_labels_every_row(ran, method: str) -> None:
    result, screen = ran(f"method={method}", "label_model=majority")
    record = result.record
    assert record.label_model["name"] == method
    assert record.label_model["coverage"] == {"train": 1.0, "valid": 1.0, "test": 1.0}
    assert record.components["label_model"] is None
    assert record.cost["calls"] == 0
    assert record.concepts == {}
    assert record.groups["used_by"] == []
    assert set(record.groups["label_model"]) == {"valid", "test"}
    assert [program["origin"] for program in record.programs["list"]] == [method]
    assert f"label_model=majority has no effect with method={method}." in record.notes
    names_group = any("name the values of the spurious attribute (water, land)" in note for note in record.notes)
    assert names_group == (method == "clip_group")
    assert f"{method}, test" in screen
    assert "Programs" not in screen
    assert "programs" not in screen
    labels = parquet.read_table(result.directory / "labels.parquet").to_pandas()
    assert len(labels) == 320
    assert labels["weak_label"].notna().all()
    probs = labels[["p(landbird)", "p(waterbird)"]].to_numpy()
    assert (np.array(CLASSES)[probs.argmax(axis=1)] == labels["weak_label"]).all()


def test_a_guessed_prompt_is_named_in_the_record(ran) -> None:
    record = ran("method=clip_group", "method.prompts=as_coded")[0].record
    assert any("takes the place of 'landbird on water background'" in note for note in record.notes)


def test_roboshot_asks_twice_and_records_what_it_was_told(ran, composed, tmp_path: Path) -> None:
    experiment = config.build(composed(*SMALL, "method=roboshot", f"paths.outputs={tmp_path}"))
    planned = plan(experiment, experiment.dataset.load())
    assert (planned.calls, planned.max_calls) == (2, 4)
    result, screen = ran("method=roboshot")
    record = result.record
    assert record.cost["calls"] == 2
    assert record.label_model["name"] == "roboshot"
    assert "worst group, roboshot: " in screen
    assert "worst group, label model" not in screen
    named = {entry["concept"] for entry in record.concepts["list"]}
    assert {"helpful: foot type", "spurious: background"} <= named
    assert record.concepts["source"] == "LLM"
    assert any("87% of the direction between the class prompts" in note for note in record.notes)
    assert "roboshot (replayed)          2" in screen
    assert "spurious: background" in screen


def test_roboshot_with_files_needs_no_llm(context_of, tmp_path: Path) -> None:
    (tmp_path / "helpful.json").write_text(CONCEPTS)
    (tmp_path / "spurious.json").write_text(BACKGROUND)
    files = [f"method.{what}_file={tmp_path / what}.json" for what in ("helpful", "spurious")]
    llm = Scripted([])
    experiment, data, context = context_of(*SMALL, "method=roboshot", *files, llm=llm)
    assert not experiment.uses("llm")
    assert plan(experiment, data).calls == 0
    result = label_rows(experiment, context)
    assert not llm.asked
    assert result.concepts.named.source == ", ".join(f"{tmp_path}/{w}.json ({w})" for w in ("helpful", "spurious"))
    key = experiment.method.cache_key()
    (tmp_path / "spurious.json").write_text(BACKGROUND.replace("lake", "sea"))
    assert experiment.method.cache_key() != key
    (tmp_path / "spurious.json").unlink()
    with pytest.raises(ConfigError, match=r"method\.spurious_file is .*, which cannot be read"):
        check_experiment(experiment)


@pytest.mark.parametrize(("key", "response"), [("remove", CONCEPTS), ("increase", BACKGROUND)])
def test_what_is_not_used_is_not_asked_for(context_of, key: str, response: str) -> None:
    llm = Scripted([response])
    experiment, _, context = context_of(*SMALL, "method=roboshot", f"method.{key}=false", llm=llm)
    assert len(label_rows(experiment, context).calls) == 1
    assert ("spurious" in llm.asked[0].messages[1].text) == (key == "increase")


def test_without_both_steps_roboshot_is_zero_shot(context_of) -> None:
    switches = ("method.remove=false", "method.increase=false")
    experiment, _, context = context_of(*SMALL, "method=roboshot", *switches)
    plain, _, plain_context = context_of(*SMALL, "method=clip_zero_shot")
    labels, expected = (label_rows(e, c).labels for e, c in ((experiment, context), (plain, plain_context)))
    for split in Split:
        np.testing.assert_allclose(labels[split].probs, expected[split].probs, atol=1e-4)


def test_an_unusable_response_is_sent_back_once(context_of) -> None:
    llm = Scripted([CONCEPTS, "The background.", BACKGROUND])
    experiment, _, context = context_of(*SMALL, "method=roboshot", llm=llm)
    assert len(label_rows(experiment, context).calls) == 3
    request, repair = (request.messages[1].text for request in llm.asked[1:])
    assert repair.startswith(request)
    assert "the response has no JSON" in repair


def test_a_second_unusable_response_ends_the_run(context_of) -> None:
    experiment, _, context = context_of(*SMALL, "method=roboshot", llm=Scripted([CONCEPTS, "no", "no"]))
    with pytest.raises(LLMError, match=r"no usable spurious differences .* method\.spurious_file=FILE"):
        label_rows(experiment, context)


@pytest.mark.parametrize("seed", [0, 1])
def test_group_prompts_and_roboshot_reduce_the_gap_of_zero_shot(context_of, tmp_path: Path, seed: int) -> None:
    background = {"background": recorded_differences()["background"]}
    (tmp_path / "spurious.json").write_text(json.dumps(background))

    def scored(*overrides: str) -> GroupScores:
        sizes = ("dataset.n_train=20", "dataset.n_valid=20", "dataset.n_test=400", f"dataset.seed={seed}")
        experiment, data, context = context_of(*BIRDS, *sizes, *overrides)
        gold, background_of = data.gold(Split.TEST), data.attributes["background"].of_rows[Split.TEST]
        hard = label_rows(experiment, context).labels[Split.TEST].hard()
        scores = score_groups(gold, hard, gold * 2 + background_of, names=("a", "b", "c", "d"), train_shares=None)
        assert scores is not None
        return scores

    zero_shot = scored("method=clip_zero_shot")
    assert zero_shot.gap >= 0.08
    assert scored("method=clip_group").gap < zero_shot.gap
    roboshot = scored("method=roboshot", f"method.spurious_file={tmp_path / 'spurious.json'}")
    assert roboshot.worst_accuracy >= zero_shot.worst_accuracy
