"""A directory in the layout of Waterbirds with drawn images, for tests and measurements.

    python -m tests.support.waterbirds_directory METADATA.csv DIRECTORY [SIZE]

METADATA.csv has the published columns; SIZE is the height and width of the images in pixels, 64 if it is left out.
"""

import csv
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from alchemist_exp.data.images.toy_birds import BACKGROUNDS, SIZE, draw, draw_attributes


def draw_directory(metadata: Path, directory: Path, size: int = SIZE) -> None:
    """Draw the image of each row of a metadata.csv: a bird of its class on its background.

    Args:
        metadata: A file with the columns img_filename, y and place.
        directory: Where the images and a copy of the file are written.
        size: Height and width of an image in pixels; drawings are enlarged to it.

    """
    with metadata.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in {Path(row["img_filename"]).parent for row in rows}:
        (directory / name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(_draw, directory=directory, size=size), enumerate(rows), chunksize=100):
            pass
    shutil.copyfile(metadata, directory / "metadata.csv")


def _draw(numbered: tuple[int, Mapping[str, str]], directory: Path, size: int) -> None:
    from PIL import Image

    number, row = numbered
    rng = np.random.default_rng(number)
    bird = draw_attributes(int(row["y"]), BACKGROUNDS[int(row["place"])], rng)
    image = Image.fromarray(draw(bird, rng))
    if size != SIZE:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
        noise = rng.normal(0, 8, (size, size, 3))  # photos have details that enlarged drawings do not have
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    image.save(directory / row["img_filename"], "JPEG", quality=90)


if __name__ == "__main__":
    draw_directory(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
