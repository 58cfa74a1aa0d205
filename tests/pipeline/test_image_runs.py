"""Runs on images: concepts, scores, programs, groups, the plan of their cost, and what is refused before a call."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

import alchemist_exp
from alchemist_exp import config
from alchemist_exp.cli import apply, explain
from alchemist_exp.cli.report import write_run_report
from alchemist_exp.core.errors import AlchemistError, ConfigError, StoreError
from alchemist_exp.core.progress import NoProgress, StageProgress
from alchemist_exp.core.types import Split
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.model_labeler import model_labeler
from alchemist_exp.labeling.program_labeler import program_labeler
from alchemist_exp.labeling.run_files import check_run_files, stored_run
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.dialogue import run_dialogue
from alchemist_exp.llm.types import FinishReason, Response
from alchemist_exp.pipeline import image_figure
from alchemist_exp.pipeline.artifacts import MODEL, load_extractor
from alchemist_exp.pipeline.compatibility import check_experiment
from alchemist_exp.pipeline.concept_scores import plan_concepts
from alchemist_exp.pipeline.plan import plan
from alchemist_exp.pipeline.run import RunResult, run
from alchemist_exp.pipeline.stages import make_context
from alchemist_exp.results.console import headline
from alchemist_exp.results.image_cells import GridCell

pytestmark = pytest.mark.usefixtures("shared_stages")

TOY = ("dataset=toy_birds", "feature_extractor=clip_toy", "logger=none", "seed=s0", "sandbox.determinism_rows=0")
SMALL = ("dataset.n_train=200", "dataset.n_valid=80", "dataset.n_test=200", "end_model=none", "label_model=majority")
BACKGROUND = {"place": {"landbird": "a bird in a forest", "waterbird": "a bird on the water"}}
TRAITS = {
    "feet": {"landbird": "a bird with grasping feet", "waterbird": "a bird with webbed feet"},
    "bill": {"landbird": "a bird with a short bill", "waterbird": "a bird with a long bill"},
}

Run = Callable[..., RunResult]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the vectors of images, so that the tests encode each image once."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def ran(composed, tmp_path: Path, vectors: Path) -> Run:
    """Runs an experiment on toy birds; overrides come last."""
    (tmp_path / "outputs" / "cache").mkdir(parents=True)
    (tmp_path / "outputs" / "cache" / "features").symlink_to(vectors)

    def run_with(*overrides: str, base: tuple[str, ...] = (*TOY, *SMALL)) -> RunResult:
        composition = composed(*base, f"paths.outputs={tmp_path}/outputs", *overrides)
        return run(config.build(composition), config.to_container(composition), list(overrides), NoProgress())

    return run_with


@pytest.fixture
def own_programs(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Writes concepts and one program, and returns the overrides that use them."""

    def write(concepts: object, source: str) -> tuple[str, ...]:
        (tmp_path / "concepts.json").write_text(json.dumps(concepts), encoding="utf-8")
        (tmp_path / "programs").mkdir(exist_ok=True)
        (tmp_path / "programs" / "one.py").write_text(source, encoding="utf-8")
        files = (f"method.path={tmp_path}/programs", f"concepts.file={tmp_path}/concepts.json")
        return ("method=program_files", "label_model=majority", *files)

    return write


def test_recorded_concepts_and_programs_label_drawn_birds(ran: Run, tmp_path: Path) -> None:
    distilled = ("end_model=mlp", "label_model=snorkel")
    result = ran(*distilled)
    record = result.record
    assert record.programs["selected"] == 10
    assert record.cost["cached_calls"] + record.cost["calls"] == 11  # one for the concepts
    assert record.cost["break_even"]["zero_shot_usd"] is None
    assert record.data["kind"] == "images"
    assert [use.rpartition(" (")[0] for use in record.data["gold_used"]] == [
        "valid: class balance",
        "valid: warnings",
        "train: scoring of programs",
        "valid: scoring of the class order",
        "valid: early stopping",
        "train: scoring",
        "valid: scoring",
        "test: scoring",
    ]
    concepts = record.concepts
    assert (concepts["source"], concepts["scale"]) == ("LLM", "raw")
    assert [entry["concept"] for entry in concepts["list"][::2]] == ["foot type", "bill", "neck", "body size"]
    assert all(entry["kept"] for entry in concepts["list"])
    webbed = concepts["list"][1]
    assert (webbed["class"], webbed["fidelity"]["own"], webbed["fidelity"]["follows"]) == ("waterbird", "feet", "feet")
    groups = record.groups
    assert groups["names"] == ["landbird, land", "landbird, water", "waterbird, land", "waterbird, water"]
    assert groups["train_shares"] == [0.475, 0.025, 0.025, 0.475]
    assert groups["used_by"] == []
    assert groups["label_model"]["test"]["n"] == [50, 50, 50, 50]
    accuracy = record.label_model["metrics"]["test"]["accuracy"]
    assert groups["label_model"]["test"]["average"] == pytest.approx(accuracy)
    labels = parquet.read_table(result.directory / "labels.parquet")
    assert labels.column("image").to_pylist()[:2] == ["train/00000", "train/00001"]
    assert labels.num_rows == 480
    saved = f"concepts.file={result.directory}/concepts.json"
    same = ran(*distilled, "method=program_files", f"method.path={result.directory}/programs", saved).record
    assert same.label_model["metrics"] == record.label_model["metrics"]
    assert (result.directory / "images.png").read_bytes().startswith(b"\x89PNG")
    assert ran(*distilled).reused


def test_the_distilled_model_labels_other_images(
    ran: Run, composed, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = ran("end_model=mlp", "end_model.calibrate=true")
    assert result.record.end_model["temperature"] not in (None, 1)
    assert 0 <= result.record.end_model["calibration"]["test"]["ece"] < 0.2
    directory = result.directory / MODEL
    experiment = config.build(composed(*TOY))
    kind, features = load_extractor(directory, experiment.feature_extractor)
    data = config.build(composed(*TOY, "dataset.seed=7", "dataset.n_test=100")).dataset.load()
    rows = data.texts(Split.TEST)
    probs = experiment.end_model.load(directory).predict_proba(features(rows))
    assert (probs[0].argmax(axis=1) == data.gold(Split.TEST)).mean() > 0.8
    # Rebuilt from its directory, the run labels its own images as before: by the model and by programs on scores.
    check_run_files(result.directory)
    stored = stored_run(result.directory, result.record)
    labels = parquet.read_table(result.directory / "labels.parquet").to_pandas()
    labels, names = labels[labels["split"] == "train"], np.array([*stored.classes, None])
    own = config.build(composed(*TOY, *SMALL)).dataset.load().texts(Split.TRAIN)
    by_programs = program_labeler(stored, Consent(), "auto").label(own)
    assert names[by_programs.classes].tolist() == labels["weak_label"].tolist()
    assert names[model_labeler(stored, Consent()).label(own).classes].tolist() == labels["predicted"].tolist()
    (tmp_path / "table.csv").write_text("path\nabsent.png\n", encoding="utf-8")
    assert apply.main([str(result.directory), f"{tmp_path}/table.csv", "-o", f"{tmp_path}/out.csv"]) == 0
    assert "1 row cannot be labeled: the file does not exist" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(f"no.jpg\n{tmp_path}/a.ppm\n"))
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 255 abcdef")
    for using in ("model", "programs"):
        in_memory = alchemist_exp.apply(result, [str(tmp_path / "a.ppm"), "no.jpg"], with_=using)
        assert in_memory["path"].tolist() == [str(tmp_path / "a.ppm"), "no.jpg"]
        assert in_memory["confidence"].notna().tolist() == [True, False]
    assert apply.main([str(result.directory)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("\t\tno.jpg\n")
    assert "1 row cannot be labeled: the file does not exist" in printed.err
    # The report has pictures and explanations without lines; `alchemist explain` has the lines of one image.
    page = write_run_report(result.directory).read_text("utf-8")
    assert 'src="data:image/jpeg;base64,' in page
    assert 'class="why"' in page
    assert "images would have to be encoded; alchemist explain RUN --text IMAGE shows them" in page
    assert explain.main([str(result.directory), "--text", str(tmp_path / "a.ppm"), "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert {vote["line"] is not None for vote in explained["votes"]} == {True}
    assert sum(explained["distilled"]["probs"].values()) == pytest.approx(1)
    for file, broken in (("concepts.json", b'{"scale": "rank", "concepts": []}'), ("scale.npy", b"")):
        before = (stored.label_model / file).read_bytes()
        (stored.label_model / file).write_bytes(broken)
        with pytest.raises(StoreError, match=file):
            program_labeler(stored, Consent(), "auto")
        (stored.label_model / file).write_bytes(before)
    stored.record.components["feature_extractor"]["weights"]["sha256"] = "0" * 64
    for labeler in (lambda: model_labeler(stored, Consent()), lambda: program_labeler(stored, Consent(), "auto")):
        with pytest.raises(StoreError, match="the weights of feature_extractor=clip_toy are not those of the run"):
            labeler()
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 255 abcdef")
    assert features([kind.parse(f"{tmp_path}/a.ppm")]).shape == features(rows[:1]).shape
    (tmp_path / "more.csv").write_text(f"path\n{tmp_path}/a.ppm\nabsent.png\n", encoding="utf-8")
    many = [str(result.directory), f"{tmp_path}/more.csv", "-o", f"{tmp_path}/many/", "--with", "programs"]
    assert apply.main(many) == 0
    assert parquet.read_table(tmp_path / "many" / "more.parquet").num_rows == 2
    assert "rows: 2; coverage" in capsys.readouterr().out
    assert kind.is_empty(kind.parse("no.jpg"))


@pytest.mark.parametrize("seed", [0, 1])
def test_concept_programs_ignore_the_background_that_a_background_program_follows(ran: Run, seed: int, own_programs):
    good = ran(f"dataset.seed={seed}").record.groups["label_model"]["test"]
    assert good["worst_accuracy"] >= 0.9
    overrides = own_programs(BACKGROUND, "def label_function(scores):\n    return int(scores[1] > scores[0])\n")
    bad = ran(*overrides, f"dataset.seed={seed}").record
    assert bad.groups["label_model"]["test"]["worst_accuracy"] <= 0.1
    assert bad.groups["label_model"]["test"]["adjusted_average"] > 0.9
    assert {entry["fidelity"]["follows"] for entry in bad.concepts["list"]} == {"background"}


def test_the_users_concepts_need_no_llm(ran: Run, own_programs) -> None:
    source = "def label_function(scores):\n    assert type(scores) is list and len(scores) == 4\n"
    record = ran(*own_programs(TRAITS, f"{source}    return int(scores[1] > scores[0])\n")).record
    assert record.concepts["source"].endswith("concepts.json")
    assert record.cost["calls"] == record.cost["cached_calls"] == 0
    assert record.label_model["metrics"]["test"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("scale", "lowest", "highest", "words"),
    [
        ("rank", 0.0, 1.0, "share of the images that fit the description less well"),
        ("softmax", 0.0, 1.0, "sum to 1"),
        ("raw", 0.0, 0.7, "If a score is close to 1, it is highly related"),
    ],
)
def test_each_scale_reaches_programs_and_the_prompt(
    ran: Run, own_programs, composed, monkeypatch, scale: str, lowest: float, highest: float, words: str
) -> None:
    check = f"all({lowest} <= score <= {highest} for score in scores)"
    source = f"def label_function(scores):\n    return int(scores[1] > scores[0]) if {check} else 'outside'\n"
    overrides = own_programs(TRAITS, source)
    drawn: list[Sequence[GridCell]] = []
    monkeypatch.setattr(image_figure, "image_grid", lambda cells, **_: drawn.append(cells) or b"")
    record = ran(*overrides, f"concepts.scale={scale}").record
    assert record.concepts["scale"] == scale
    for image in drawn[0]:  # the picture has the scores that programs receive
        assert all(lowest <= score <= highest for score in image.scores)
        assert image.votes == (("landbird", "waterbird")[image.scores[1] > image.scores[0]],)
    assert scale != "softmax" or sum(drawn[0][0].scores) == pytest.approx(2)
    assert record.programs["outcomes"] == {"vote": 480} | dict.fromkeys(
        record.programs["outcomes"].keys() - {"vote"}, 0
    )
    assert words in composed_prompt(composed, scale)


def composed_prompt(composed, scale: str) -> str:
    experiment = config.build(composed(*TOY, *SMALL))
    return experiment.prompt.score_description(experiment.dataset.describe_task(), ["a", "b"], scale)


def test_programs_that_read_pixels_get_separate_images(ran: Run, own_programs) -> None:
    source = """
import numpy as np

def label_function(image):
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    blue = image[-20:, :, 2].mean() > image[-20:, :, 1].mean()
    image[:] = 0
    return int(blue)
"""
    record = ran(*own_programs(TRAITS, source), "concepts.use=false").record
    assert record.concepts == {}
    assert record.groups["label_model"]["test"]["worst_accuracy"] < 0.1
    recorded = ran("method=vanilla_image").record
    assert (recorded.programs["selected"], recorded.concepts) == (9, {})
    assert recorded.cost["calls"] + recorded.cost["cached_calls"] == 10


def test_a_plan_counts_the_calls_for_concepts(composed, tmp_path: Path) -> None:
    outputs = f"paths.outputs={tmp_path}/outputs"
    paid = config.build(composed(*TOY, *SMALL, outputs, "llm=openai", "llm.model=gpt-4o-mini"))
    planned = plan(paid, paid.dataset.load())
    assert (planned.calls, planned.max_calls) == (11, 12)  # an unusable response with concepts is sent back once
    assert planned.usd > 0
    repaired = config.build(composed(*TOY, *SMALL, outputs, "llm=openai", "llm.model=gpt-4o-mini", "repair=on"))
    assert plan(repaired, repaired.dataset.load()).max_calls > plan(repaired, repaired.dataset.load()).calls >= 11


def test_usable_concepts_in_the_cache_are_not_asked_for_again(composed, monkeypatch, tmp_path: Path) -> None:
    experiment = config.build(composed(*TOY, *SMALL, f"paths.outputs={tmp_path}/outputs", "method=roboshot"))
    data = experiment.dataset.load()
    text = json.dumps(TRAITS)
    cached = Response(text=text, model="m", finish_reason=FinishReason.COMPLETE, usage=None)
    monkeypatch.setattr(LLMClient, "cached_response", lambda self, request: cached)
    planned = plan(experiment, data)
    assert (planned.calls, planned.max_calls, planned.cached_calls) == (0, 0, 2)


def recording(path: Path, *responses: str) -> str:
    """Write a recording whose answers to the requests for concepts are the given ones, and return its path."""
    shipped = Path(config.config_dir()).parent / "alchemist_exp" / "llm" / "recordings" / "toy_birds.jsonl"
    rows = [json.loads(line) for line in shipped.read_text(encoding="utf-8").splitlines()]
    (asked,) = [row for row in rows if row["step"] == "concepts" and row["strategy"] == "concepts"]
    others = [row for row in rows if row["step"] != "concepts"]
    kept = [{**asked, "response": responses[0]}]
    if len(responses) > 1:
        prompt = (
            f"{asked['prompt']}\n\nThis answer cannot be used:\n\n{responses[0].strip()}\n\n"
            'the response has no JSON; write {"concept name": {"landbird": "...", "waterbird": "..."}, ...}\n\n'
            'Answer with one JSON object of the form {"name of a concept": {"name of a class": "description"}}, a '
            'description for each of the classes "landbird" and "waterbird", and nothing else.'
        )
        kept.append({**asked, "prompt": prompt, "response": responses[1]})
    path.write_text("".join(json.dumps(row) + "\n" for row in [*kept, *others]), encoding="utf-8")
    return f"llm.recording={path}"


def test_unusable_concepts_are_sent_back_once(ran: Run, tmp_path: Path) -> None:
    shipped = Path(config.config_dir()).parent / "alchemist_exp" / "llm" / "recordings" / "toy_birds.jsonl"
    usable = next(
        row["response"]
        for row in map(json.loads, shipped.read_text(encoding="utf-8").splitlines())
        if (row["step"], row["strategy"]) == ("concepts", "concepts")
    )
    record = ran(recording(tmp_path / "a.jsonl", "Feet and bills.", usable)).record
    assert record.programs["selected"] == 10
    assert record.cost["calls"] + record.cost["cached_calls"] == 12
    with pytest.raises(AlchemistError, match="the LLM named no usable concepts in two responses"):
        ran(recording(tmp_path / "b.jsonl", "Feet and bills.", "Feet."), "label_model=majority")


def test_dropped_concepts_are_in_the_record_and_not_in_the_prompt(
    ran: Run, own_programs, composed, tmp_path: Path
) -> None:
    concepts = TRAITS | {"long": {"landbird": "a bird " * 30, "waterbird": "a bird"}}
    source = "def label_function(scores):\n    return int(scores[1] > scores[0]) if len(scores) == 4 else 'no'\n"
    overrides = own_programs(concepts, source)
    result = ran(*overrides)
    record = result.record
    left_out = [entry for entry in record.concepts["list"] if not entry["kept"]]
    assert [entry["concept"] for entry in left_out] == ["long", "long"]
    assert left_out[0]["reason"] == "max_characters: 209, above 100"
    assert left_out[0]["fidelity"] is None
    assert record.label_model["coverage"]["test"] == 1.0
    experiment = config.build(composed(*TOY, *SMALL, f"paths.outputs={tmp_path}/outputs", *overrides))
    context, _ = make_context(experiment, experiment.dataset.load(), StageProgress(NoProgress()), plan=True)
    asked = plan_concepts(context, experiment.concepts, experiment.image_encoder, accepting=True)
    planned = run_dialogue(asked, lambda batch: pytest.fail("asked the LLM"))
    assert "webbed" in planned.data.task.description
    assert "a bird a bird" not in planned.data.task.description


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("dataset=toy_birds",), r"feature_extractor=combined reads texts.*; use feature_extractor=clip_toy\."),
        (("feature_extractor=clip_toy",), r"feature_extractor=clip_toy reads images.*use feature_extractor=combined\."),
        ((*TOY, "method=zero_shot"), r"method=zero_shot sends texts to an LLM.*use method=alchemist"),
        (("method=vanilla_image",), r"method=vanilla_image labels images.*use method=alchemist\."),
        (
            (*TOY, "method=vanilla_image", "supplement=exemplars", "supplement.source=data"),
            "an image cannot be shown there",
        ),
        ((*TOY, "concepts.file=none.json"), r"concepts\.file is 'none\.json', which cannot be read"),
        ((*TOY, "concepts.min_activity=2"), r"concepts\.min_activity=2"),
        ((*TOY, "dataset.n_train=1"), r"dataset\.n_train=1; expected a number of images from 2"),
        ((*TOY, "dataset.seed=-1"), r"dataset\.seed=-1; expected a whole number from 0"),
        ((*TOY, "dataset.classes=[a,b]"), r"toy_birds has the classes \['landbird', 'waterbird'\] only"),
        ((*TOY, "feature_extractor.batch_size=0"), r"batch_size=0; expected a whole number from 1"),
    ],
)
def test_what_does_not_fit_images_is_refused_first(composed, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_experiment(config.build(composed(*overrides)))


def test_a_file_of_concepts_for_other_classes_is_refused_before_a_call(ran: Run, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"feet": {"cat": "paws", "dog": "paws"}}')
    with pytest.raises(ConfigError, match=r"concepts\.file is .*'cat', which is not a class; expected the classes"):
        ran(f"concepts.file={tmp_path}/c.json")
    assert not (tmp_path / "outputs" / "runs").exists() or not list(
        (tmp_path / "outputs" / "runs").glob("*/record.json")
    )


def test_stages_see_neither_labels_nor_backgrounds(composed) -> None:
    data = config.build(composed(*TOY, *SMALL)).dataset.load()
    assert data.group_attribute == "background"
    hidden = data.without_gold()
    assert (hidden.attributes, hidden.group_attribute, hidden.gold(Split.TEST)) == ({}, None, None)
    other = config.build(composed(*TOY, *SMALL, "dataset.seed=1")).dataset.load()
    assert len({data.fingerprint, other.fingerprint}) == 2
    assert data.fingerprint == config.build(composed(*TOY, *SMALL)).dataset.load().fingerprint


def test_a_limit_takes_evenly_spaced_images(composed) -> None:
    whole = config.build(composed(*TOY, *SMALL)).dataset.load()
    few = config.build(composed(*TOY, *SMALL, "dataset.limit=5")).dataset.load()
    chosen = [0, 49, 99, 149, 199]
    assert few.texts(Split.TRAIN) == [whole.texts(Split.TRAIN)[row] for row in chosen]
    assert few.gold(Split.TRAIN).tolist() == whole.gold(Split.TRAIN)[chosen].tolist()
    background = whole.attributes["background"].of_rows[Split.TRAIN]
    assert np.array_equal(few.attributes["background"].of_rows[Split.TRAIN], background[chosen])


def test_a_run_without_an_end_model_ends_with_the_labels(ran: Run) -> None:
    result = ran()
    record = result.record
    empty = {"metrics": {}, "metrics_unseen": {}}
    ends = {"name": "none", "seeds": [], "by_class": {}, "ensemble": empty, "combined": None} | empty
    assert {name: record.end_model[name] for name in ends} == ends
    assert record.groups["end_model"] == {}
    assert record.groups["label_model"]["test"]["worst_accuracy"] > 0.8
    assert not any("early stopping" in use for use in record.data["gold_used"])
    assert not (result.directory / MODEL).exists()
    names = parquet.read_schema(result.directory / "labels.parquet").names
    assert "weak_label" in names
    assert not {"predicted", "confidence"} & {*names}
    assert headline(record)["distilled"] == "-"
