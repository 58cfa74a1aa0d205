"""torchvision for CUDA next to torch for the CPU: what imports it works, and commands do not import it."""

import importlib.util
import subprocess
import sys

import pytest

needs_torchvision = pytest.mark.skipif(not importlib.util.find_spec("torchvision"), reason="needs the extra images")


def runs(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_torchvision
def test_what_imports_torchvision_can_be_imported_first() -> None:
    """Each statement is run in a child of a process that has imported torch alone, which takes a second."""
    resized = (
        "from alchemist_exp.torchvision_ops import declare_torchvision_ops as declare\n"
        "assert declare() == declare()\n"
        "from torchvision.transforms.functional import resize\n"
        "assert resize(torch.zeros(3, 8, 8), [4, 4]).shape == (3, 4, 4)"
    )
    code = (
        "import os, sys, torch\n"
        "for statement in sys.argv[1:]:\n"
        "    assert 'torchvision' not in sys.modules\n"
        "    if (child := os.fork()) == 0:\n"
        "        exec(statement)\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0, statement\n"
    )
    # pytorch_lightning is imported without packages that only metrics of torchmetrics need.
    lightning = (
        "import alchemist_exp.end_model.training\n"
        "assert not {'matplotlib', 'torchvision', 'transformers'} & set(sys.modules)\n"
        "import alchemist_exp.features.encoding"
    )
    runs(code, lightning, "import alchemist_exp.features.encoding", resized)


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
