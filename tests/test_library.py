"""The public API: fast to import, and the same runs and errors as on the command line."""

import subprocess
import sys
from pathlib import Path

import hydra
import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

import alchemist_exp
from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, DataError, StoreError
from alchemist_exp.label_models.dawid_skene import ClassPrior, DawidSkene

TINY = (
    "+experiment=tiny",
    "label_model=majority",
    "dataset.limit=30",
    "method.n_programs=1",
    "end_model.max_epochs=1",
    "sandbox.determinism_rows=0",
)
VOTES = np.array([[0, 1, 1], [1, -1, 1], [0, 0, -1], [-1, -1, -1]] * 10)


def test_every_public_name_is_there_and_listed() -> None:
    for name in alchemist_exp.__all__:
        assert getattr(alchemist_exp, name) is not None
        assert name in dir(alchemist_exp)
    listed = {name for names in alchemist_exp._MODULES.values() for name in names}
    assert listed | {"__version__"} == set(alchemist_exp.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = alchemist_exp.absent


def test_importing_the_package_is_fast_and_run_stays_a_function() -> None:
    code = (
        "import sys, alchemist_exp\n"
        "print(sorted({'numpy', 'hydra', 'omegaconf', 'torch'} & set(sys.modules)))\n"
        "alchemist_exp.load_component('label_model=majority')\n"
        "import alchemist_exp.cli.main, alchemist_exp.cli.run, alchemist_exp.cli.plan\n"
        "print(sorted({'torch', 'openai', 'anthropic', 'datasets', 'wandb'} & set(sys.modules)))\n"
        "print(type(alchemist_exp.run).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["[]", "[]", "function"], done.stderr


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(alchemist_exp.__file__).with_name("py.typed").is_file()


@pytest.mark.parametrize("choice", ["majority", "snorkel", "dawid_skene"])
def test_label_models_work_on_a_plain_vote_matrix(choice: str) -> None:
    votes = alchemist_exp.LabelMatrix(votes=VOTES, n_classes=2)
    balance = alchemist_exp.class_balance_from_votes(votes)
    labels = alchemist_exp.load_component(f"label_model={choice}").fit(votes, balance).predict_proba(votes)
    assert labels.hard().tolist() == [1, 1, 0, alchemist_exp.ABSTAIN] * 10


@pytest.mark.parametrize("vote", [256, 0.5, np.nan])
def test_a_vote_that_is_no_class_is_not_rounded_to_one(vote: float) -> None:
    with pytest.raises(ValueError, match=r"are not all whole numbers in -1\.\.1"):
        alchemist_exp.LabelMatrix(votes=np.array([[vote, 1]]), n_classes=2)


def test_a_component_has_the_values_of_its_file_and_those_given() -> None:
    model = alchemist_exp.load_component("label_model=dawid_skene", smoothing=0.5, class_prior="uniform")
    assert isinstance(model, DawidSkene)
    assert (model.name, model.smoothing, model.class_prior) == ("dawid_skene", 0.5, ClassPrior.uniform)
    assert model.max_iterations == 200


def test_values_that_refer_to_other_groups_are_resolved() -> None:
    llm = alchemist_exp.load_component("llm=openai", model="gpt-4.1-mini")
    assert llm.price.input_usd_per_million == llm.spec.price.input_usd_per_million
    files = alchemist_exp.load_component(
        "dataset=files", path="texts.csv", classes=["a", "b"], prompt="Name the letter."
    )
    assert files.path == "texts.csv"


@pytest.mark.parametrize(
    ("choice", "values", "message"),
    [
        ("label_model", {}, "'label_model' names no member; write GROUP=MEMBER"),
        ("labelmodel=majority", {}, "the group 'labelmodel' is unknown; did you mean 'label_model'"),
        ("label_model=majorty", {}, "label_model 'majorty' is unknown; did you mean 'majority'"),
        (
            "label_model=snorkel",
            {"start": 3},
            "label_model=snorkel: the key 'start' is unknown; did you mean 'starts'",
        ),
        (
            "label_model=snorkel",
            {"starts": "many"},
            "label_model.starts is 'many'; expected a whole number",
        ),
        ("label_model=snorkel", {"starts": -1}, "label_model.starts is -1; expected 1 or more"),
        ("dataset=files", {"path": "x"}, "dataset.prompt must be given"),
    ],
)
def test_what_is_wrong_with_a_component_is_one_sentence(choice: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        alchemist_exp.load_component(choice, **values)
    assert str(caught.value).startswith(message)


def test_a_run_is_recorded_and_read_back(tmp_path: Path) -> None:
    overrides = [*TINY, f"paths.outputs={tmp_path}"]
    result = alchemist_exp.run(overrides)
    assert not result.reused
    (directory,) = tmp_path.glob("runs/[!.]*")
    record = alchemist_exp.read_record(directory)
    assert record == result.record
    assert record.overrides == overrides
    assert alchemist_exp.run([*overrides, "hydra.verbose=false"]).reused


def test_a_run_shows_its_stages_to_the_progress_given(tmp_path: Path) -> None:
    started = []

    class Listener:
        def start(self, what: str, total: int | None) -> None:
            started.append(what)

        def advance(self, steps: int) -> None: ...

        def note(self, text: str) -> None: ...

        def stop(self) -> None: ...

    with pytest.raises(DataError):
        alchemist_exp.run([f"dataset.path={tmp_path}"], progress=Listener())
    assert started == ["loading youtube"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset=yotube"], "dataset 'yotube' is unknown; did you mean 'youtube'"),
        (["dataset=sms,youtube"], "'dataset=sms,youtube' has a comma"),
        (["dataset=[sms,youtube]"], "'dataset=[sms,youtube]' asks for several members at once"),
        (["llm.pack=x"], "llm.pack is now called llm.recording"),
        (
            ["+label_model.start=3"],
            "the key 'label_model.start' is unknown; did you mean 'label_model.starts'",
        ),
        (["llm=openai", "llm.price.as_of=x"], "llm.price.as_of=x changes a part of llm.price"),
        (["-m", "seed=s0,s1"], "overrides is ['-m', 'seed=s0,s1']; give a list"),
        ("seed=s0", "overrides is 'seed=s0'; give a list"),
    ],
)
def test_wrong_overrides_are_the_sentence_of_the_command_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        alchemist_exp.run(overrides)
    assert str(caught.value).startswith(message)


def test_a_directory_without_a_record_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no record of a run; name a directory under outputs/runs\."):
        alchemist_exp.read_record(tmp_path)


def test_a_hydra_application_of_the_caller_stays_as_it_is() -> None:
    with hydra.initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        alchemist_exp.load_component("label_model=majority")
        assert GlobalHydra.instance().hydra is outer
    assert not GlobalHydra.instance().is_initialized()
