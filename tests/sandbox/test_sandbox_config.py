"""Every YAML file in conf/sandbox makes a sandbox that works, and the error about a wrong value says what is valid."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from alchemist_exp.core.errors import ConfigError, SandboxError
from alchemist_exp.registry import components
from alchemist_exp.sandbox import zygote
from alchemist_exp.sandbox.base import Sandbox
from alchemist_exp.sandbox.bubblewrap import require_namespaces
from alchemist_exp.sandbox.inputs import ImageInputs
from alchemist_exp.sandbox.modes import SeccompSandbox

CONF = Path(__file__).parents[2] / "conf"
SHARED = {"_limits"}
FILES = sorted(path.stem for path in (CONF / "sandbox").glob("*.yaml") if path.stem not in SHARED)
MakeSandbox = Callable[..., Sandbox]


@pytest.fixture
def composed() -> Iterator[Callable[..., Any]]:
    store = ConfigStore.instance()
    for name, schema in components()["sandbox"].items():
        store.store(group="sandbox", name=name, node=schema)
    store.store(name="sandbox_test", node={"defaults": [{"sandbox": "seccomp"}, "_self_"]})
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda *overrides: compose("sandbox_test", overrides=list(overrides)).sandbox


@pytest.mark.parametrize("name", FILES)
def test_each_file_makes_a_working_sandbox(composed: Callable[..., Any], name: str) -> None:
    consent = ["sandbox.i_accept_untrusted_code=true"] if name == "none" else []
    sandbox = OmegaConf.to_object(composed(f"sandbox={name}", *consent))
    assert isinstance(sandbox, Sandbox)
    assert sandbox.name == name
    if name == "bwrap":
        try:
            require_namespaces()
        except SandboxError as error:
            pytest.skip(str(error))
    sandbox.check()


def test_none_needs_consent_that_its_file_does_not_give(composed: Callable[..., Any]) -> None:
    assert composed("sandbox=none").i_accept_untrusted_code is False


def test_unknown_key_and_wrong_type_stop_composition(composed: Callable[..., Any]) -> None:
    for override in ("sandbox.call_cpu=1", "sandbox.memory_mb=much", "sandbox.i_accept_untrusted_code=true"):
        with pytest.raises(ConfigCompositionException):
            composed(override)


@pytest.mark.parametrize("path", sorted((CONF / "sandbox").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_key_is_explained(path: Path) -> None:
    lines = path.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if line[:1].isalpha() and not line.startswith("defaults")]
    assert keys
    assert all(lines[number - 1].startswith("#") for number in keys)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("call_cpu_s", 0.0),
        ("call_cpu_s", float("nan")),
        ("call_cpu_s", "???"),
        ("init_cpu_s", -1),
        ("stall_s", 0.1),
        ("program_wall_s", 0),
        ("memory_mb", 1),
        ("max_timeouts", 0),
        ("max_restarts", -1),
        ("max_source_bytes", 0),
        ("chunk_rows", 0),
        ("chunk_mb", 0),
        ("zygote", "yes"),
        ("determinism_rows", -1),
        ("workers", 0),
        ("workers", True),
        ("allowed_modules", "re"),
        ("allowed_modules", ["numpy"]),
        ("extra_modules", ["a b"]),
        ("name", "none"),
    ],
)
def test_wrong_value_names_its_key(make_sandbox: MakeSandbox, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^sandbox\.{key} "):
        make_sandbox(**{key: value}) if key != "name" else SeccompSandbox(
            **{**vars(make_sandbox()), "name": value}  # type: ignore[arg-type]
        )


def test_cache_key_contains_what_alters_votes(make_sandbox: MakeSandbox) -> None:
    key = make_sandbox().cache_key()
    assert json.loads(json.dumps(key)) == key
    assert make_sandbox(workers=7, zygote=False).cache_key() == key
    assert make_sandbox("none").cache_key() != key
    assert make_sandbox().cache_key(ImageInputs) == make_sandbox(extra_modules=["numpy"]).cache_key()
    assert make_sandbox(allowed_modules=["re"]).cache_key() != key
    assert make_sandbox(extra_modules=["numpy"]).cache_key()["extra_modules"] == {
        "numpy": sys.modules["numpy"].__version__
    }
    fields = set(vars(make_sandbox())) - {"workers", "zygote", "name"}
    assert fields <= set(key)


def test_number_of_workers_follows_the_job(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})
    for slurm, expected in (("3", 3), ("9", 4), ("", 4), ("0", 4), ("2(x3)", 4)):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", slurm)
        assert make_sandbox(workers=None).n_workers == expected
    assert make_sandbox(workers=2).n_workers == 2


def test_import_loads_no_heavy_library() -> None:
    code = (
        "import sys, alchemist_exp.sandbox.modes, alchemist_exp.sandbox.execution\n"
        "print(sorted({'torch', 'datasets', 'sklearn', 'pandas', 'hydra', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CONF.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_worker_modules_import_the_standard_library_and_each_other_only() -> None:
    package = "alchemist_exp.sandbox.worker"
    modules = {path.stem: path for path in (CONF.parent / "alchemist_exp" / "sandbox" / "worker").glob("*.py")}
    assert set(modules) == {"__init__", *zygote._WORKER_MODULES}
    sent: set[str] = set()
    for name in zygote._WORKER_MODULES:
        lines = modules[name].read_text().splitlines()
        imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
        siblings = {module for module in imported if module.startswith(package)}
        assert siblings <= sent  # those that are sent before it
        assert {module.split(".")[0] for module in imported - siblings} <= sys.stdlib_module_names
        sent.add(f"{package}.{name}")
