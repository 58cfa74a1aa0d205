"""Makes small pictures of image rows, which a page contains as data URIs."""

import base64
import io
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.types import Split
from alchemist_exp.data.images.decode import ImageArray, decode
from alchemist_exp.data.images.rows import bird_rows, pixels_of
from alchemist_exp.data.images.toy_birds import toy_birds

SIDE: Final = 96
"""Pixels of the longer side of a picture, about 2 KB."""

MAX_BIRDS: Final = 100_000

_QUALITY: Final = 72


class Pictures:
    """The pictures of a run's rows by the names in its labels.parquet.

    The record may be of another person, so only images below the dataset's directory on this machine are opened.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take the configuration of the dataset.

        Args:
            config: The values of the group dataset, which are not checked.

        """
        self._config = config
        self._made: dict[str, str] = {}

    def uri(self, name: str) -> str:
        """Return the picture of a row.

        Args:
            name: The name of the image.

        Returns:
            A data URI; "" if there is no such image, or Pillow is not installed.

        """
        if name not in self._made:
            pixels = None
            if "path" in self._config:
                with suppress(OSError, RuntimeError, ValueError):  # a name that cannot be a path
                    root = Path(str(self._config["path"])).expanduser().resolve()
                    root = root if root.is_dir() else root.parent
                    path = (root / name).resolve()
                    pixels = decode(path).pixels if path.is_relative_to(root) and path.is_file() else None
            else:
                split, _, number = name.partition("/")
                rows = self._birds.get(split, [])
                pixels = pixels_of(rows[int(number)]) if number.isdecimal() and int(number) < len(rows) else None
            self._made[name] = "" if pixels is None else _as_uri(pixels)
        return self._made[name]

    @cached_property
    def _birds(self) -> Mapping[str, list[str]]:
        """The rows of drawn birds by split."""
        seed, sizes = self._config.get("seed"), {split: self._config.get(f"n_{split}") for split in Split}
        if not isinstance(seed, int) or seed < 0:
            return {}
        return {
            split.value: bird_rows(toy_birds(split, n_rows, seed=seed))
            for split, n_rows in sizes.items()
            if isinstance(n_rows, int) and 2 <= n_rows <= MAX_BIRDS
        }


def _as_uri(pixels: ImageArray) -> str:
    try:
        from PIL import Image
    except ImportError:
        return ""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    raw = io.BytesIO()
    image.save(raw, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(raw.getvalue()).decode('ascii')}"
