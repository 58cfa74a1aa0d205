"""The dataset of drawn birds, which needs no files."""

from dataclasses import dataclass

from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import TextData
from alchemist_exp.data.images.dataset import ImageDataset, SplitImages
from alchemist_exp.data.images.rows import bird_rows
from alchemist_exp.data.images.toy_birds import BACKGROUNDS, CLASSES, COLORS, TRAITS, Bird, ToyBirds, toy_birds

_ATTRIBUTES = {"background": BACKGROUNDS[:2], **TRAITS, "color": tuple(COLORS)}


@component("dataset", "toy_birds")
@dataclass(kw_only=True)
class ToyBirdsDataset(ImageDataset):
    """Drawn birds; scores on them are synthetic.

    Attributes:
        seed: The seed of the drawings.
        n_train: Number of training images.
        n_valid: Number of validation images.
        n_test: Number of test images.

    """

    seed: int = MISSING
    n_train: int = MISSING
    n_valid: int = MISSING
    n_test: int = MISSING

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is not possible.

        """
        super().__post_init__()
        if tuple(self.classes) != CLASSES:
            raise ConfigError(f"dataset.classes={list(self.classes)}; toy_birds has the classes {list(CLASSES)} only.")
        if self.seed < 0:
            raise ConfigError(f"dataset.seed={self.seed}; expected a whole number from 0.")
        for key in ("n_train", "n_valid", "n_test"):
            if not 2 <= (n := getattr(self, key)) <= 1_000_000:
                raise ConfigError(f"dataset.{key}={n}; expected a number of images from 2 to 1000000.")

    def load(self) -> TextData:
        """Return the three splits; the images are drawn when they are needed.

        Returns:
            All splits, labeled, with the background and the traits of each bird as attributes.

        Raises:
            ConfigError: The packages for images are not installed.

        """
        self.check()
        sizes = {Split.TRAIN: self.n_train, Split.VALID: self.n_valid, Split.TEST: self.n_test}
        return self.to_data(
            {split: _split_images(toy_birds(split, n, seed=self.seed)) for split, n in sizes.items()},
            attributes=_ATTRIBUTES,
            group_attribute="background",
            notes=[
                "The images are drawn (synthetic): these scores show that the code works, and nothing about photos."
            ],
        )


def _split_images(birds: ToyBirds) -> SplitImages:
    return SplitImages(
        rows=bird_rows(birds),
        labels=birds.labels.tolist(),
        attributes={name: [_index(bird, name) for bird in birds.birds] for name in _ATTRIBUTES},
    )


def _index(bird: Bird, attribute: str) -> int:
    return _ATTRIBUTES[attribute].index(getattr(bird, attribute))
