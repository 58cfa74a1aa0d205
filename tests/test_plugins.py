"""Components of other people: beside their own YAML files, or installed with entry points."""

import os
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton

import alchemist_exp
from alchemist_exp import config, registry
from alchemist_exp.cli import plan, run, status
from alchemist_exp.cli.hydra_command import flags_first
from alchemist_exp.core.component import REGISTRY
from alchemist_exp.core.errors import ConfigError
from tests.support.commands import run_command
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("shared_stages")

TINY = ("+experiment=tiny", "dataset.limit=30", "end_model.max_epochs=1", "sandbox.determinism_rows=0")
ONE_PROGRAM = "method.n_programs=1"

MODULE = """
from dataclasses import dataclass
from typing import Self

from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import LabelModel
from ..helper import FIRST


@component("label_model", "mine")
@dataclass(kw_only=True)
class Mine(LabelModel):
    alpha: float = MISSING

    def fit(self, matrix, class_balance, labeled=None):
        return self

    def predict_proba(self, matrix):
        counts = matrix.counts() + self.alpha
        return SoftLabels(probs=counts / counts.sum(axis=1, keepdims=True), covered=matrix.covered)
"""
YAML = "defaults: [_mine, _self_]\nname: mine\nalpha: 1.0\n"


@pytest.fixture
def directory(tmp_path: Path):
    """A --config-dir with a label model; nothing of it is registered afterwards."""
    root = tmp_path / "a user's, own [dir]"
    (root / "label_model").mkdir(parents=True)
    (root / "helper.py").write_text("FIRST = 1\n")
    (root / "label_model" / "mine.py").write_text(MODULE)
    (root / "label_model" / "mine.yaml").write_text(YAML)
    yield root
    config.register()


def mistake(directory: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        alchemist_exp.load_component("label_model=mine", config_dir=directory)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_module_beside_its_yaml_is_a_member(directory: Path) -> None:
    mine = alchemist_exp.load_component("label_model=mine", config_dir=directory, alpha=2)
    assert (type(mine).__name__, mine.alpha) == ("Mine", 2.0)
    assert "mine" in config.members("label_model")
    assert not list(directory.rglob("__pycache__"))


def test_a_run_uses_it_and_an_edit_of_what_it_imports_is_another_run(directory: Path, tmp_path: Path) -> None:
    overrides = [*TINY, ONE_PROGRAM, "label_model=mine", f"paths.outputs={tmp_path / 'outputs'}"]
    keys = []
    for file, text in (
        ("label_model/mine.py", MODULE),
        ("helper.py", "FIRST = 2\n"),
    ):
        (directory / file).write_text(text)
        result = alchemist_exp.run(overrides, config_dir=directory)
        assert not result.reused
        assert alchemist_exp.run(overrides, config_dir=directory).reused
        keys.append(result.record.run_key)
    assert len(set(keys)) == 2
    assert result.record.config["label_model"] == {"name": "mine", "alpha": 1.0}


def test_the_class_is_the_same_while_the_file_is(directory: Path) -> None:
    first, second = (alchemist_exp.load_component("label_model=mine", config_dir=directory) for _ in range(2))
    assert type(first) is type(second)
    (directory / "label_model" / "mine.py").write_text(MODULE.replace("self.alpha", "self.alpha * 2"))
    assert type(alchemist_exp.load_component("label_model=mine", config_dir=directory)) is not type(first)


def test_another_directory_and_none_forget_it(directory: Path, tmp_path: Path) -> None:
    alchemist_exp.load_component("label_model=mine", config_dir=directory)
    with pytest.raises(ConfigError, match=r"label_model 'mine' is unknown.*Your own members need --config-dir DIR"):
        alchemist_exp.load_component("label_model=mine")
    assert "mine" not in REGISTRY["label_model"]
    assert "_mine.yaml" not in ConfigStore.instance().repo["label_model"]
    other = tmp_path / "other" / "label_model"
    other.mkdir(parents=True)
    (other / "mine.py").write_text(MODULE.replace("from ..helper import FIRST", "").replace("alpha", "beta"))
    (other / "mine.yaml").write_text(YAML.replace("alpha", "beta"))
    assert alchemist_exp.load_component("label_model=mine", config_dir=other.parent).beta == 1.0
    assert alchemist_exp.load_component("label_model=mine", config_dir=directory).alpha == 1.0


def test_every_group_has_a_base_class_that_a_plugin_can_register_under(tmp_path: Path) -> None:
    assert set(registry.base_classes()) == {*config.groups()} - {"experiment"}
    for group, base in registry.base_classes().items():
        (tmp_path / group).mkdir()
        built_in = next(cls for cls in REGISTRY[group].values() if issubclass(cls, base))
        (tmp_path / group / "own.py").write_text(
            f"from dataclasses import dataclass\n"
            f"from alchemist_exp import component\n"
            f"from {built_in.__module__} import {built_in.__qualname__}\n"
            f"@component({group!r}, 'own')\n"
            f"@dataclass(kw_only=True)\n"
            f"class Own({built_in.__qualname__}):\n"
            f"    mine: int = 1\n"
        )
        (tmp_path / group / "own.yaml").write_text("defaults: [_own, _self_]\nname: own\n")
    composed = config.compose([f"{group}=own" for group in registry.base_classes()], tmp_path)
    assert all(composed[group].mine == 1 for group in registry.base_classes())
    config.register()


def test_the_commands_take_it_with_config_dir(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = (*TINY, ONE_PROGRAM, "--config-dir", directory.name, "label_model=mine,majority", "-m")
    assert run_command(plan.main, monkeypatch, *arguments) == 0
    assert run_command(run.main, monkeypatch, *arguments) == 0
    assert run_command(status.main, monkeypatch, "outputs", *arguments) == 0
    printed = capsys.readouterr().out
    assert "· mine ·" in printed
    assert "2 done" in printed


def test_the_commands_say_in_one_line_that_a_plugin_is_broken(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "label_model" / "mine.py").write_text("import not_installed\n")
    for main, arguments in ((run.main, ()), (plan.main, ()), (status.main, (str(directory), "seed=s0"))):
        assert run_command(main, monkeypatch, *arguments, "--config-dir", str(directory)) == 1
        assert capsys.readouterr().err == (
            f"error: {directory}/label_model/mine.py cannot be imported "
            "(ModuleNotFoundError: No module named 'not_installed'); fix it or remove it.\n"
        )


def test_a_process_of_a_launcher_finds_the_module(directory: Path) -> None:
    composed = config.compose(["label_model=mine"], directory)
    state = cloudpickle.dumps((Singleton.get_state(), composed))
    code = (
        "import pickle, sys\n"
        "from hydra.core.singleton import Singleton\n"
        "state, composed = pickle.load(sys.stdin.buffer)\n"
        "Singleton.set_state(state)\n"
        "from alchemist_exp import config\n"
        "print(config.build(composed).label_model, config.members('label_model'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=state,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    printed = done.stdout.decode()
    assert printed.startswith("Mine(name='mine', alpha=1.0)")
    assert "'mine'" in printed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (MODULE, "x = (\n", "/label_model/mine.py cannot be imported (SyntaxError: '(' was never closed"),
        (MODULE, "import sys; sys.exit(3)\n", "/label_model/mine.py cannot be imported (SystemExit: 3)"),
        ("(LabelModel)", "", 'mine.py: @component("label_model", "mine") is on Mine, which is not a component'),
        ('"mine")', '"snorkel")', 'Mine is registered as ("label_model", "snorkel"), and so is Snorkel in'),
        ('"label_model", "mine"', '"selection", "mine"', "is not a Selection; derive it from alchemist_exp.programs."),
        ('"label_model", "mine"', '"labelmodel", "mine"', "the group 'labelmodel' is unknown; did you mean"),
        ("def fit", "def train", "has no fit; define what LabelModel declares abstract."),
        ("@dataclass(kw_only=True)", "", "is not a dataclass; put @dataclass(kw_only=True) below @component."),
        ("alpha: float", "alpha: 'object | bytes'", "mine.py: a field of Mine has a type that YAML cannot hold"),
        ("alpha: float", "alpha: 'Absent'", "a type that YAML cannot hold (name 'Absent' is not defined)"),
    ],
)
def test_a_broken_module_is_one_sentence_that_names_the_file(directory: Path, old: str, new: str, message: str) -> None:
    path = directory / "label_model" / "mine.py"
    path.write_text(path.read_text().replace(old, new))
    text = mistake(directory)
    assert str(directory) in text
    assert message in text


def test_two_modules_that_register_one_name_are_named(directory: Path) -> None:
    (directory / "label_model" / "other.py").write_text(MODULE)
    assert mistake(directory).startswith(
        f'{directory}/label_model/other.py: Mine is registered as ("label_model", "mine"), and so is Mine in '
        f"{directory}/label_model/mine.py"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine\nalpha: 1.0\n", "the file label_model/mine.yaml names no schema; begin the file with defaults: ["),
        ("name: mine\n", "the YAML file of label_model names no schema; begin the file with defaults: [_NAME, _self_]"),
        (
            "defaults: [_mien, _self_]\n",
            "the file label_model/mine.yaml names _mien in its defaults list, but no class",
        ),
        ("_target_: mine.Mine\n", 'put @component("label_model", "mine") on the class and write defaults: [_mine, '),
        (f"{YAML}_target_: mine.Mine\n", "the file label_model/mine.yaml has _target_, which is not used here;"),
        (
            f"{YAML}alfa: 1\n",
            "label_model/mine.yaml: the key 'alfa' is unknown; did you mean 'alpha'? Known: alpha, name",
        ),
        (YAML.replace("1.0", "x"), "label_model.alpha is 'x'; expected a number."),
        (YAML.replace("name: mine\n", ""), "label_model.name must be given"),
        ("a: [", "/label_model/mine.yaml, line 1, is not valid YAML"),
        ("- a\n", "/label_model/mine.yaml, line 1: the file has no keys"),
    ],
)
def test_a_broken_yaml_is_one_sentence_that_names_the_file(directory: Path, text: str, message: str) -> None:
    (directory / "label_model" / "mine.yaml").write_text(text)
    assert message in mistake(directory)


def test_a_file_that_hydra_would_not_read_is_refused(directory: Path) -> None:
    (directory / "label_model" / "snorkel.yaml").write_text("epochs: 1\n")
    assert mistake(directory).startswith(
        f"{directory}/label_model/snorkel.yaml has the name of {config.config_dir()}/label_"
    )


def test_an_absent_directory_is_one_sentence(tmp_path: Path) -> None:
    assert mistake(tmp_path / "absent").endswith(
        "/absent, which is not a directory; name the directory of your groups."
    )


@pytest.fixture
def install(tmp_path: Path):
    """Installs a package `a_package` with an entry point and its own YAML files."""
    site_path = pytest.MonkeyPatch()

    def make(module: str) -> Path:
        site = tmp_path / "site"
        (site / "a_package" / "conf" / "label_model").mkdir(parents=True)
        (site / "a_package" / "__init__.py").touch()
        (site / "a_package" / "models.py").write_text(module)
        (site / "a_package" / "conf" / "label_model" / "mine.yaml").write_text(YAML)
        (site / "a_package-1.0.dist-info").mkdir()
        (site / "a_package-1.0.dist-info" / "METADATA").write_text("Name: a-package\nVersion: 1.0\n")
        (site / "a_package-1.0.dist-info" / "entry_points.txt").write_text(
            f"[{registry.ENTRY_POINTS}]\nmine = a_package.models:Mine\n"
        )
        site_path.syspath_prepend(str(site))
        registry.installed_directories.cache_clear()
        return site

    yield make
    site_path.undo()
    REGISTRY["label_model"].pop("mine", None)
    registry.installed_directories.cache_clear()
    for name in [name for name in sys.modules if name.startswith("a_package")]:
        del sys.modules[name]
    ConfigStore.instance().repo["label_model"].pop("mine.yaml", None)
    config.register()


def test_an_installed_package_brings_classes_and_yaml_files(install, tmp_path: Path) -> None:
    install(MODULE.replace("from ..helper import FIRST", ""))
    mine = alchemist_exp.load_component("label_model=mine", alpha=2)
    assert (type(mine).__module__, mine.alpha) == ("a_package.models", 2.0)
    assert mine.key().keys() == {"name", "alpha", "source_fingerprint"}
    assert "mine" in config.members("label_model")
    (tmp_path / "own" / "label_model").mkdir(parents=True)
    (tmp_path / "own" / "label_model" / "mine.yaml").write_text(f"{YAML}# other\n")
    with pytest.raises(
        ConfigError, match=r"own/label_model/mine\.yaml has the name of .*a_package/conf/label_model/mine"
    ):
        config.register(tmp_path / "own")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import absent", "cannot be imported (ModuleNotFoundError: No module named 'absent'); fix it or remove it."),
        (
            "",
            "cannot be imported (AttributeError: module 'a_package.models' has no attribute 'Mine'); fix it or remove",
        ),
    ],
)
def test_a_broken_installed_package_is_one_sentence(install, module: str, message: str) -> None:
    install(module)
    with pytest.raises(ConfigError) as caught:
        registry.components()
    assert str(caught.value).startswith("the plugin mine = a_package.models:Mine of the package a-package")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            ["seed=s0", "--config-dir", "own", "label_model=mine"],
            ["--config-dir", "own", "seed=s0", "label_model=mine"],
        ),
        (["-cd=own", "~x", "-m", "+y=2"], ["-cd=own", "-m", "~x", "+y=2"]),
        (["x=1", "--cfg", "job"], ["--cfg", "job", "x=1"]),
        (["--help"], ["--help"]),
    ],
)
def test_flags_may_be_anywhere(given: list[str], expected: list[str]) -> None:
    assert flags_first(given) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return SoftLabels(probs=np.full((n, 2), [2.0, -1.0]), covered=matrix.covered)", "a probability is negative"),
        ("return SoftLabels(probs=np.full((n, 2), 0.5), covered=np.ones(n, bool))", "rows without a vote are covered"),
        (
            "return SoftLabels(probs=np.ones((n, 1)), covered=matrix.covered)",
            r"probs has shape .*, 1\); expected",
        ),
        ("return None", "expected SoftLabels, not NoneType"),
    ],
)
def test_wrong_labels_of_a_plugin_name_it(directory: Path, tmp_path: Path, body: str, message: str) -> None:
    predict = MODULE.partition("        counts = ")[0] + f"        n = len(matrix.votes)\n        {body}\n"
    (directory / "label_model" / "mine.py").write_text("import numpy as np\n" + predict)
    overrides = [*TINY, "label_model=mine", "method=human", f"paths.outputs={tmp_path / 'outputs'}"]
    with pytest.raises(ConfigError, match=rf"mine\.py: Mine\.predict_proba failed .*{message}"):
        alchemist_exp.run(overrides, config_dir=directory)


FEATURES = """
from dataclasses import dataclass

import numpy as np

from alchemist_exp.core.component import component
from alchemist_exp.features.base import FeatureExtractor


@component("feature_extractor", "mine")
@dataclass(kw_only=True)
class Mine(FeatureExtractor):
    def fit(self, texts):
        return self

    def transform(self, texts, on_progress=None):
        n = len(texts)
        return {}

    def save(self, directory): ...

    def load(self, directory):
        return self
"""


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("np.zeros((n - 1, 2), np.float32)", "the features have shape"),
        ("np.zeros((n, 0), np.float32)", "the features have shape"),
        ("np.zeros((n, 2))", "expected a float32 array, not float64"),
        ("None", "expected a float32 array, not NoneType"),
        ("np.full((n, 2), np.nan, np.float32)", "a feature is not finite"),
    ],
)
def test_wrong_features_of_a_plugin_name_it_and_are_not_cached(
    directory: Path, tmp_path: Path, made: str, message: str
) -> None:
    (directory / "feature_extractor").mkdir()
    (directory / "feature_extractor" / "mine.py").write_text(FEATURES.format(made))
    (directory / "feature_extractor" / "mine.yaml").write_text("defaults: [_mine, _self_]\nname: mine\n")
    overrides = [*TINY, "feature_extractor=mine", "method=human", "label_model=majority"]
    with pytest.raises(ConfigError, match=rf"mine\.py: Mine\.transform failed .*{message}"):
        alchemist_exp.run([*overrides, f"paths.outputs={tmp_path / 'outputs'}"], config_dir=directory)
    assert not list((tmp_path / "outputs" / "cache").glob("features/*"))


def test_an_edit_of_an_inner_package_counts(directory: Path) -> None:
    inner = directory / "label_model" / "inner" / "deep"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("")
    (inner / "helper.py").write_text("SECOND = 2\n")
    module = MODULE.replace("from ..helper import FIRST", "from .inner.deep.helper import SECOND")
    (directory / "label_model" / "mine.py").write_text(module)
    keys = []
    for edited in (None, inner / "helper.py", inner / "__init__.py", inner.parent / "__init__.py"):
        if edited:
            edited.write_text(edited.read_text() + "EDITED = 1\n")
        keys.append(str(alchemist_exp.load_component("label_model=mine", config_dir=directory).key()))
    assert len(set(keys)) == 4


def test_what_an_import_raises_is_one_sentence(directory: Path) -> None:
    (directory / "label_model" / "mine.py").write_text("raise BaseException('out')\n")
    assert "mine.py cannot be imported (BaseException: out)" in mistake(directory)


def test_no_plugin_is_given_gold_labels_that_it_may_not_use(directory: Path, tmp_path: Path) -> None:
    (directory / "method").mkdir()
    (directory / "method" / "mine.py").write_text(
        """
from dataclasses import dataclass

from alchemist_exp.core.component import component
from alchemist_exp.core.types import Split
from alchemist_exp.methods.human import HumanVotesMethod


@component("method", "mine")
@dataclass(kw_only=True)
class Mine(HumanVotesMethod):
    def votes(self, context):
        assert all(context.data.gold(split) is None for split in Split)
        assert context.gold.labels.keys() <= {Split.TRAIN, Split.VALID}
        return super().votes(context)
"""
    )
    (directory / "method" / "mine.yaml").write_text("defaults: [_mine, _self_]\nname: mine\n")
    overrides = [*TINY, "method=mine", "label_model=majority", f"paths.outputs={tmp_path / 'outputs'}"]
    record = alchemist_exp.run(overrides, config_dir=directory).record
    assert record.data["gold_used"][-1].startswith("test: scoring (")
    assert record.end_model["metrics"]["test"]["accuracy"]["mean"] > 0
