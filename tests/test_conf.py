"""Every YAML on disk composes into a working object, and says what each of its keys means."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.config_checks import check_interpolated_overrides
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import canonical_json
from alchemist_exp.llm.providers.model_spec import ModelSpec
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.sweeps.overrides import checked_overrides

CONF = Path(config.config_dir())
NEEDED = {
    "feature_extractor=transformer": ["feature_extractor.model=a/b", f"feature_extractor.revision={'0' * 40}"],
    "dataset=files": ["dataset.path=x", "dataset.classes=[a,b]", "dataset.prompt=t"],
    "dataset=image_files": ["dataset.path=x"],
    "dataset=hub": ["dataset.repo=a/b", "dataset.prompt=t"],
    "method=program_files": ["method.path=x"],
    "supplement=rag": ["supplement.documents=x"],
    "llm=openai_compatible": ["llm.model=m", "llm.base_url=http://127.0.0.1:8000/v1"],
    "sandbox=none": ["sandbox.i_accept_untrusted_code=true"],
}
MEMBERS = [
    f"{group}={member}" for group in config.groups() if group != "experiment" for member in config.members(group)
]


@pytest.fixture(scope="module")
def experiment_of(composed, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Experiment]:
    """Returns an experiment that has a member; the first, second, ... members of all groups are composed together."""
    directory = tmp_path_factory.mktemp("conf")
    (directory / "a.py").write_text("def label_function(text): return 0")
    (directory / "a.md").write_text("Spam sells.")

    @cache
    def built(place: int) -> Experiment:
        groups = [group for group in config.groups() if group != "experiment"]
        choices = [f"{group}={members[place]}" for group in groups if len(members := config.members(group)) > place]
        values = [value for choice in choices for value in NEEDED.get(choice, [])]
        found = [re.sub(r"(method\.path|supplement\.documents)=x", rf"\1={directory}", value) for value in values]
        return config.build(composed(*choices, *found))

    def find(choice: str) -> Experiment:
        group, member = choice.split("=")
        return built(config.members(group).index(member))

    return find


def files() -> list[Path]:
    return sorted(CONF.rglob("*.yaml"))


@pytest.mark.parametrize("choice", MEMBERS)
def test_every_member_becomes_a_working_object_with_its_name_and_a_key(
    experiment_of, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library reads the environment when it is imported, which may have been before this test.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    group, member = choice.split("=")
    component = getattr(experiment_of(choice), group)
    assert component.name == member
    if member in ("clip_vit_b32", "clip_vit_l14"):
        with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):  # the weights are part of the key
            component.cache_key()
    elif choice != "dataset=files":
        assert canonical_json(component.cache_key())


@pytest.mark.parametrize("name", config.members("experiment"))
def test_every_experiment_composes(composed, name: str) -> None:
    assert config.build(composed(f"+experiment={name}"))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(CONF)))
def test_every_file_begins_with_a_sentence_and_every_key_has_a_comment_above(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = next(line for line in lines if "@package" not in line)
    assert head.startswith("# "), "the first line says in one sentence what the file is"
    if path.parent.name in ("job_logging", "hydra_logging", "experiment") or "models" in path.parts:
        return
    explained = set().union(*(commented(parent) for parent in parents(path)))
    for number, line in enumerate(lines):
        key = re.match(r"(\w+):", line)
        if key and key[1] not in ("defaults", "name", "hydra") and key[1] not in explained:
            above = lines[number - 1]
            assert above.startswith("#"), f"no comment above {key[1]}"


def parents(path: Path) -> list[Path]:
    """Return the YAML files of the same group that the defaults list of `path` names."""
    members = re.findall(
        r'[-\[ ,]+"?(\w+)"?', path.read_text(encoding="utf-8").partition("defaults:")[2].partition("_self_")[0]
    )
    return [parent for name in members if (parent := path.with_name(f"{name}.yaml")).exists()]


def commented(path: Path) -> set[str]:
    """Return the keys of a file, and of the files it is built on, that have a comment directly above."""
    own = set(re.findall(r"^#.*\n(\w+):", path.read_text(encoding="utf-8"), re.M))
    return own.union(*(commented(parent) for parent in parents(path)))


def test_the_configuration_in_a_record_is_plain_and_resolved(composed) -> None:
    plain = config.to_container(composed())
    assert plain["llm"]["recording"] == "youtube"
    assert "${" not in canonical_json(plain)


def test_keys_that_are_missing_are_named_together(composed) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.path and dataset\.prompt must be given"):
        config.build(composed("dataset=files"))


def test_an_appended_key_that_nobody_reads_is_refused(composed) -> None:
    with pytest.raises(
        ConfigError, match=r"the key 'label_model\.start' is unknown; did you mean 'label_model\.starts'"
    ):
        config.build(composed("+label_model.start=3"))
    with pytest.raises(ConfigError, match=r"the key 'llm\.price\.foo' is unknown"):
        config.build(composed("+llm.price.foo=3"))


@pytest.mark.parametrize("override", ["llm.price.input_usd_per_million=3", "+llm.spec.seed=true", "llm.price.a.b=1"])
def test_a_part_of_what_the_models_card_says_is_not_dropped_in_silence(composed, override: str) -> None:
    with pytest.raises(ConfigError, match=r"changes a part of llm\.(price|spec), .*give all of it"):
        check_interpolated_overrides(composed("llm=openai"), [override])
    check_interpolated_overrides(
        composed(), ["llm.price.input_usd_per_million=3", "llm=recorded", "+experiment=x", "~logger"]
    )


PRICE = "llm.price={input_usd_per_million:1,output_usd_per_million:2,as_of:mine}"


@pytest.mark.parametrize(
    ("overrides", "price"),
    [
        (["llm=openai"], 0.1),
        (["llm=openai", "llm.model=gpt-4.1-2025-04-14"], 2.0),
        (["llm=anthropic", "llm.model=claude-haiku-4-5-20251001"], 1.0),
        (["llm=openai", "llm.model=unheard-of"], None),
        (["llm=openai", PRICE], 1.0),
        (["llm=openai", "llm.model=unheard-of", PRICE], 1.0),
        (["llm=openai_compatible", "llm.model=m", "llm.base_url=http://x/v1"], None),
        (["llm=openai_compatible", "llm.model=m", "llm.base_url=http://x/v1", PRICE], 1.0),
    ],
)
def test_the_price_is_the_cards_or_the_users_or_not_known(composed, overrides: list[str], price: float | None) -> None:
    llm = config.build(composed(*overrides)).llm
    assert price is None if llm.price is None else llm.price.input_usd_per_million == price


@pytest.mark.parametrize("path", sorted(CONF.glob("llm/models/*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_model_has_a_card_with_a_dated_price(composed, path: Path) -> None:
    provider, model = path.parent.name, path.stem
    cfg = composed(f"llm={provider}", "llm.model=m", "llm.base_url=http://x/v1")
    cfg.llm.model = model
    llm = config.build(cfg).llm
    assert isinstance(llm.spec, ModelSpec)
    if model.startswith("_"):
        assert llm.price is None
        return
    assert llm.spec.price is not None
    assert llm.price == llm.spec.price
    assert re.search(r"20\d\d|paper", llm.price.as_of)
    assert llm.price.output_usd_per_million > llm.price.input_usd_per_million
    assert llm.spec.batch == (llm.price.batch_factor == 0.5)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_the_default_model_is_known_and_stays(composed, provider: str) -> None:
    spec = config.build(composed(f"llm={provider}")).llm.spec
    assert spec.price is not None
    assert spec.retired is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["llm=openai_compatible", "llm.model=m"], r"llm\.base_url must be given"),
        *(
            (["llm=openai_compatible", "llm.model=m", f"llm.base_url='{url}'"], r"base_url is .*; expected an address")
            for url in ("http://127.0.0.1:99999/v1", "http://[::1", "http://:80/v1", "ftp://host/v1", "http://h:0/v1")
        ),
        (["llm=openai_compatible", "llm.model=m", "llm.base_url=null"], r"llm\.base_url is null; give the server"),
        (["llm=openai_compatible", "llm.model=m", "llm.base_url=localhost:80"], r"llm\.base_url is 'localhost:80'"),
        (["llm=openai", "llm.base_url='ftp://x'"], r"llm\.base_url is 'ftp://x'"),
        (["llm=openai", "llm.base_url='https://me:secret@x'"], r"llm\.base_url contains a password"),
        (
            ["llm=openai", "llm.spec=${model_spec:anthropic,x}"],
            r"llm\.spec\.api is messages; expected chat or responses",
        ),
        (["llm=anthropic", "llm.spec=${model_spec:openai,x}"], r"llm\.spec\.api is chat; expected messages"),
        (["llm=openai", "llm.diversity=sampling"], r"llm\.diversity is sampling, but gpt-6-luna is called without"),
    ],
)
def test_wrong_providers_are_one_sentence(composed, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config.build(composed(*overrides))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("label_model.max_iterations=0", r"label_model\.max_iterations is 0; expected 1 or more"),
        ("method.n_programs=0", r"method\.n_programs is 0; expected 1 or more"),
        ("method.n_programs=10001", r"method\.n_programs is 10001; expected 1 or more, at most 10000 programs"),
        ("seed.values=[1,1]", r"seed\.values is \[1, 1\]; expected different numbers"),
        ("seed.values=[4294967296]", r"from 0 to 2\*\*32 - 1"),
        ("paths.outputs='~nouser/x'", "paths.outputs is '~nouser/x', which cannot be a directory"),
        ("label_model.tolerance=nan", "label_model.tolerance is nan"),
        ("label_model.prior_strengths=[inf]", r"label_model.prior_strengths is \[inf\]"),
        ("llm.price.input_usd_per_million=nan", "llm.price"),
        ("end_model.batch_size=99999999999", "end_model.batch_size is 99999999999"),
        ("end_model.hidden=[99999999999]", "end_model.hidden has a layer of 99999999999"),
        ("feature_extractor.parts.words.n_components=99999999999", "feature_extractor.n_components=99999999999"),
        ("seed.values=[]", r"seed\.values is \[\]"),
        ("dataset.prompt=''", r"dataset\.prompt is empty"),
        ("paths.outputs=''", r"paths\.outputs is empty"),
        ("llm.price.input_usd_per_million=-1", r"llm\.price\.input_usd_per_million is -1\.0; expected"),
    ],
)
def test_wrong_values_are_one_sentence(composed, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(composed(override))


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["llm.model=sk-planted-0123456789"], "llm.model"),
        (["llm.model='${oc.env:MY_SERVICE_KEY}'"], "llm.model"),
        (["llm=openai", "llm.base_url=https://host/sk-planted-0123456789/v1"], "llm.base_url"),
        (["dataset.prompt='Use ${oc.env:MY_SERVICE_KEY}.'"], "dataset.prompt"),
        (["supplement=rules", "supplement.text=sk-planted-0123456789"], "supplement.text"),
        (["dataset.classes=[ham,sk-planted-0123456789]"], "dataset.classes"),
    ],
)
def test_a_value_with_a_key_of_the_environment_is_refused(
    composed, monkeypatch: pytest.MonkeyPatch, overrides: list[str], key: str
) -> None:
    monkeypatch.setenv("MY_SERVICE_KEY", "sk-planted-0123456789")
    with pytest.raises(
        ConfigError, match=rf"{key} contains the value of the environment variable MY_SERVICE_KEY"
    ) as no:
        config.build(composed(*overrides))
    assert "sk-planted" not in str(no.value)
    if "${" not in overrides[-1]:  # Hydra would write it to the files of a sweep
        with pytest.raises(ConfigError, match=rf"{key} contains the value of"):
            checked_overrides(overrides)
