"""Make torchvision importable next to a CPU build of torch. Call `declare_torchvision_ops` before importing it.

torchvision of the Python Package Index is built for CUDA. Next to a CPU build of torch its compiled library cannot be
loaded, and `import torchvision` ends with "operator torchvision::nms does not exist", because torchvision registers
shape functions for two operators of that library. Packages that import torchvision if it is installed then fail too:
torchmetrics (and so pytorch_lightning), transformers, timm, open_clip. Declaring the two operators without an
implementation is enough for everything in torchvision that is written in Python.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

_SCHEMA = "{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def declare_torchvision_ops() -> bool:
    """Declare the operators that `import torchvision` needs, if its compiled library cannot be loaded.

    Returns:
        True if the operators were declared; False if torchvision is not installed or works without it. torch is
        imported only if torchvision is installed.

    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    import torch

    library: Any  # torch.library is untyped
    try:
        torch.ops.load_library(str(Path(spec.origin).with_name("_C.so")))  # type: ignore[no-untyped-call]
    except OSError:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            library.define(_SCHEMA.format(name=name))
        _declared.append(library)
        return True
    return False


_declared: list[object] = []
"""The declarations end when their library object is deleted."""
