"""torchvision for CUDA next to torch for the CPU: what imports it works, and commands do not import it."""

import importlib.util
import subprocess
import sys

import pytest

needs_torchvision = pytest.mark.skipif(not importlib.util.find_spec("torchvision"), reason="needs the extra images")


def runs(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_torchvision
@pytest.mark.parametrize("module", ["alchemist_exp.end_model.training", "alchemist_exp.features.encoding"])
def test_modules_that_import_torchvision_indirectly_can_be_imported_first(module: str) -> None:
    runs(f"import {module}")


@needs_torchvision
def test_torchvision_can_be_imported_and_its_python_parts_work() -> None:
    code = (
        "from alchemist_exp.torchvision_ops import declare_torchvision_ops as declare\n"
        "assert declare() == declare()\n"
        "import torch\n"
        "from torchvision.transforms.functional import resize\n"
        "print(tuple(resize(torch.zeros(3, 8, 8), [4, 4]).shape))"
    )
    assert runs(code) == "(3, 4, 4)"


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
