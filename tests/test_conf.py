"""Every YAML on disk composes into a working object, and says what each of its keys means."""

import re
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import canonical_json

CONF = Path(config.folder())
NEEDED = {
    "dataset=files": ["dataset.path=x", "dataset.classes=[a,b]", "dataset.task=t"],
    "method=program_files": ["method.path=x"],
    "sandbox=none": ["sandbox.i_accept_untrusted_code=true"],
}
MEMBERS = [
    f"{group}={member}" for group in config.groups() if group != "experiment" for member in config.members(group)
]


def files() -> list[Path]:
    return sorted(CONF.rglob("*.yaml"))


@pytest.mark.parametrize("choice", MEMBERS)
def test_every_member_becomes_a_working_object_that_knows_its_name(composed, choice: str) -> None:
    group, member = choice.split("=")
    experiment = config.build(composed(choice, *NEEDED.get(choice, [])))
    assert getattr(experiment, group).name == member


@pytest.mark.parametrize("choice", MEMBERS)
def test_every_member_has_a_cache_key_that_json_knows(composed, choice: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def label_function(text): return 0")
    overrides = [o.replace("method.path=x", f"method.path={tmp_path}") for o in NEEDED.get(choice, [])]
    experiment = config.build(composed(choice, *overrides))
    component = getattr(experiment, choice.split("=")[0])
    if choice != "dataset=files":
        assert canonical_json(component.cache_key())


@pytest.mark.parametrize("name", config.members("experiment"))
def test_every_experiment_composes(composed, name: str) -> None:
    assert config.build(composed(f"+experiment={name}"))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(CONF)))
def test_every_key_is_explained_and_every_file_says_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("#") and "@package" not in line for line in lines[:2]), "the file says what it is first"
    if path.parent.name in ("job_logging", "hydra_logging", "experiment"):
        return
    for number, line in enumerate(lines):
        key = re.match(r"(\w+):", line)
        if key and key[1] not in ("defaults", "name", "license", "paths", "hydra"):
            assert lines[number - 1].strip(), f"{path.name}: {key[1]} begins a paragraph without a comment"


def test_the_configuration_in_a_record_is_plain_and_resolved(composed) -> None:
    plain = config.as_plain(composed())
    assert plain["llm"]["pack"] == "youtube"
    assert "${" not in canonical_json(plain)


def test_keys_that_are_missing_are_named_together(composed) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.classes and dataset\.path and dataset\.task must be given"):
        config.build(composed("dataset=files"))


def test_an_appended_key_that_nobody_reads_is_refused(composed) -> None:
    with pytest.raises(
        ConfigError, match=r"the key 'label_model\.epoch' is unknown; did you mean 'label_model\.epochs'"
    ):
        config.build(composed("+label_model.epoch=3"))
    with pytest.raises(ConfigError, match=r"the key 'llm\.price\.foo' is unknown"):
        config.build(composed("+llm.price.foo=3"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("label_model.epochs=0", r"label_model\.epochs is 0; 1 or more"),
        ("method.n_programs=0", r"method\.n_programs is 0; 1 or more"),
        ("seed.values=[1,1]", r"seed\.values is \[1, 1\]; different numbers"),
        ("seed.values=[4294967296]", r"from 0 to 2\*\*32 - 1"),
        ("paths.outputs='~nouser/x'", "paths.outputs is '~nouser/x', which cannot be a folder"),
        ("label_model.learning_rate=nan", "label_model.learning_rate is nan"),
        ("label_model.l2=inf", "label_model.l2 is inf"),
        ("llm.price.input_usd_per_million=nan", "llm.price"),
        ("end_model.batch_size=99999999999", "end_model.batch_size is 99999999999"),
        ("end_model.hidden=[99999999999]", "end_model.hidden has a layer of 99999999999"),
        ("feature_extractor.dimensions=99999999999", "feature_extractor.dimensions is 99999999999"),
        ("seed.values=[]", r"seed\.values is \[\]"),
        ("paths.outputs=''", r"paths\.outputs is empty"),
        ("llm.price.input_usd_per_million=-1", r"llm\.price has -1\.0; USD per million"),
    ],
)
def test_wrong_values_are_one_sentence(composed, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(composed(override))
