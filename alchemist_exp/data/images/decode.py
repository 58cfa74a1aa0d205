"""Decode image files of users. A file that cannot be decoded gives a reason, never an exception.

Every image becomes RGB with 8 bits per channel: the first frame of an animation, turned as its EXIF orientation says,
transparent parts on white, 16 bits reduced to 8, CMYK converted without a color profile. Pillow is imported when the
first image is decoded.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, overload

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import DataError, MissingPackageError, install_command
from alchemist_exp.core.hashing import bytes_fingerprint, key_of
from alchemist_exp.core.terminal import sanitize

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
"""Pillow's names of the formats that are read. Some of the others run external programs."""

MAX_PIXELS: Final = 89_478_485
"""Pixels of an image, 256 MB as RGB; a small file can claim any number of them (a decompression bomb)."""

MAX_BYTES: Final = 256 * 2**20
"""Size of a file."""

VERSION: Final = 1
"""Raise it when the same file gives other pixels: results that were made from them are then not reused."""

ImageArray = npt.NDArray[np.uint8]

_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


class _UndecodableError(Exception):
    """The reason why a file gives no image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImage:
    """An image, or the reason why there is none.

    Attributes:
        pixels: Read-only uint8 array of shape (height, width, 3), RGB; None if the file cannot be decoded.
        reason: Why there are no pixels, as the end of a sentence that names the file; empty if there are.
        key: A key of the file's content, equal for equal pixels of equal files; empty if there are no pixels.

    """

    pixels: ImageArray | None = None
    reason: str = ""
    key: str = ""


def decode(source: Path | bytes) -> DecodedImage:
    """Decode an image.

    Args:
        source: The path of a file, or its content.

    Returns:
        The image, or the reason why there is none: no exception for a missing, broken, truncated, empty, huge or
        foreign file.

    Raises:
        ConfigError: Pillow is not installed.

    Example:
        >>> decode(b"").reason
        'the file is empty'
        >>> decode(b"P6 2 1 255 abcdef").pixels.tolist()
        [[[97, 98, 99], [100, 101, 102]]]

    """
    try:
        raw = source if isinstance(source, bytes) else _read(source)
        if not raw:
            raise _UndecodableError("the file is empty")
        pixels = _pixels(raw)
    except _UndecodableError as error:
        return DecodedImage(reason=str(error))
    pixels.flags.writeable = False
    return DecodedImage(pixels=pixels, key=key_of("image", {"content": bytes_fingerprint(raw), "version": VERSION}))


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise _UndecodableError("it is not a regular file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise _UndecodableError(f"the file has {size / 2**20:,.0f} MiB; at most {MAX_BYTES // 2**20} are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise _UndecodableError("the file does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise _UndecodableError(
            f"the file cannot be read ({sanitize(getattr(error, 'strerror', '') or str(error))})"
        ) from None


def _pixels(raw: bytes) -> ImageArray:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingPackageError(
            f"images need the package pillow; install it with: {install_command('images')}"
        ) from error
    import io

    _prepare_pillow()
    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            # The header says the size, so that no memory is allocated for too many pixels.
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _UndecodableError(f"it has {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are read")
            if not width * height:
                raise _UndecodableError("it has no pixels")
            image.load()
            rgb, turn = _in_rgb(image), _TURNS.get(_orientation(image))
            return np.array(rgb if turn is None else rgb.transpose(Image.Transpose[turn]), dtype=np.uint8)
    except UnidentifiedImageError:
        raise _UndecodableError(f"it is not an image of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise _UndecodableError(
            f"it has more than {2 * MAX_PIXELS:,} pixels; at most {MAX_PIXELS:,} are read"
        ) from None
    except (_UndecodableError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - the decoders raise exceptions of many types for broken files
        raise _UndecodableError(f"the image is broken ({sanitize(str(error)) or type(error).__name__})") from None


@cache
def _prepare_pillow() -> None:
    """Load the plugins of Pillow, and ignore its warnings about metadata and sizes; the size is checked here.

    Once for the process: files are decoded in several threads, and filters of warnings are common to all of them.
    """
    from PIL import Image

    Image.init()
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _orientation(image: "PILImage") -> int:
    """Return the EXIF orientation of a loaded image; 1, as it is, if the EXIF data are broken."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - see _pixels; broken metadata do not make the pixels useless
        return 1


def _in_rgb(image: "PILImage") -> "PILImage":
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips such values at 255 when it converts them. It reads 16 bits of some formats as mode I.
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65_535:
            raise _UndecodableError("its pixels have 32 bits; convert it to 8 or 16 bits")
        return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise _UndecodableError("its pixels are floating-point numbers; convert it to 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")
    return image.convert("RGB")


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFiles(Sequence[ImageArray]):
    """The image files of a split that can be decoded. Each is decoded when it is asked for, and not kept.

    Attributes:
        paths: The files, in the order in which they were given.
        rows: For each file its position among the given ones, so that labels can be taken along.
        keys: For each file a key of its content.
        skipped: The reasons of the other files, by position among the given ones.

    """

    paths: tuple[Path, ...]
    rows: tuple[int, ...]
    keys: tuple[str, ...]
    skipped: Mapping[int, str]

    def __len__(self) -> int:
        """Return the number of usable files."""
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageArray]: ...
    def __getitem__(self, index: int | slice) -> ImageArray | list[ImageArray]:
        """Decode one file, or several.

        Args:
            index: A position in `paths`, or a slice.

        Returns:
            Read-only uint8 array of shape (height, width, 3), RGB; a list of them for a slice.

        Raises:
            DataError: The file has changed since `check_images`.

        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        image = decode(self.paths[index])
        if image.pixels is None or image.key != self.keys[index]:
            raise DataError(
                f"{self.paths[index]} has changed since this run has read it first; let no program write into the "
                "directory of the images, and run again."
            )
        return image.pixels


def check_images(paths: Sequence[Path], on_progress: Callable[[int], None] | None = None) -> ImageFiles:
    """Decode files once, and return those that are images.

    Args:
        paths: Any files.
        on_progress: Called with 1 after each file.

    Returns:
        The usable files, and the reason for each other one.

    """
    rows, keys, skipped = [], [], {}
    for row, path in enumerate(paths):
        image = decode(path)
        if image.pixels is None:
            skipped[row] = image.reason
        else:
            rows.append(row)
            keys.append(image.key)
        if on_progress is not None:
            on_progress(1)
    return ImageFiles(paths=tuple(paths[row] for row in rows), rows=tuple(rows), keys=tuple(keys), skipped=skipped)
