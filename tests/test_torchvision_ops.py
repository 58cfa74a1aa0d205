"""torchvision for CUDA next to torch for the CPU: what imports it works, and commands do not import it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forking import run_forked

needs_torchvision = pytest.mark.skipif(not importlib.util.find_spec("torchvision"), reason="needs the extra images")


def runs(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LIGHTNING = """
import sys
import alchemist_exp.end_model.training
assert not {"matplotlib", "torchvision", "transformers"} & set(sys.modules)
import alchemist_exp.features.encoding
assert {"torchvision", "transformers"} <= set(sys.modules)
"""


@needs_torchvision
def test_what_imports_torchvision_can_be_imported_after_lightning(tmp_path: Path) -> None:
    """pytorch_lightning is imported without packages that only metrics of torchmetrics need."""
    (tmp_path / "imports.py").write_text(LIGHTNING)
    done = run_forked(str(tmp_path / "imports.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@needs_torchvision
def test_what_imports_torchvision_can_be_imported_first() -> None:
    """The first module is imported in a child of a process that has imported torch alone, which takes a second."""
    code = (
        "import os, sys, torch\n"
        "if (child := os.fork()) == 0:\n"
        "    import alchemist_exp.features.encoding\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "from alchemist_exp.torchvision_ops import declare_torchvision_ops as declare\n"
        "assert declare() == declare()\n"
        "assert 'torchvision' not in sys.modules\n"
        "from torchvision.transforms.functional import resize\n"
        "assert resize(torch.zeros(3, 8, 8), [4, 4]).shape == (3, 4, 4)"
    )
    runs(code)


def test_without_torchvision_nothing_is_declared_and_torch_is_not_imported() -> None:
    code = (
        "import importlib.util, sys\n"
        "importlib.util.find_spec = lambda name: None\n"
        "from alchemist_exp.torchvision_ops import declare_torchvision_ops as declare\n"
        "print(declare(), 'torch' in sys.modules)"
    )
    assert runs(code) == "False False"


def test_components_are_found_without_the_packages_of_images() -> None:
    code = (
        "import sys\n"
        "from alchemist_exp import registry\n"
        "registry.components()\n"
        "print(sorted({'torchvision', 'open_clip', 'timm', 'PIL'} & set(sys.modules)))"
    )
    assert runs(code) == "[]"
