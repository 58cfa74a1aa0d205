"""Files that users have: each becomes RGB pixels or a reason, and a skipped one shifts no row."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.images import decode as decoding
from alchemist_exp.data.images.decode import check_images, decode
from alchemist_exp.sandbox.inputs import ImageInputs

RNG = np.random.default_rng(0)
# Smooth colors, which JPEG keeps within a few shades.
PIXELS = np.stack(np.meshgrid(np.linspace(20, 200, 24), np.linspace(60, 240, 16)), axis=-1)
PIXELS = np.concatenate([PIXELS, PIXELS[..., :1] * 0 + 90], axis=-1).astype(np.uint8)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    raw = io.BytesIO()
    image.save(raw, file_format, **options)
    return raw.getvalue()


def rgb() -> Image.Image:
    return Image.fromarray(PIXELS)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM", "JPEG", "WEBP", "GIF"])
def test_each_format_gives_rgb(file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {"quality": 95} if file_format == "JPEG" else {}
    image = decode(saved(rgb(), file_format, **options))
    assert image.pixels is not None, image.reason
    assert (image.pixels.shape, image.pixels.dtype, image.reason) == (PIXELS.shape, np.uint8, "")
    tolerance = {"JPEG": 8, "GIF": 30}.get(file_format, 0)
    assert np.abs(image.pixels.astype(int) - PIXELS).max() <= tolerance
    assert not image.pixels.flags.writeable


def _mode(mode: str) -> Callable[[], tuple[bytes, np.ndarray]]:
    def made() -> tuple[bytes, np.ndarray]:
        image = rgb().convert(mode)
        return saved(image, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"), np.asarray(image.convert("RGB"))

    return made


def _palette_with_transparency() -> tuple[bytes, np.ndarray]:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    expected = np.full((2, 4, 3), 255, np.uint8)
    expected[0, 1] = (200, 100, 50)
    return saved(image, "PNG", transparency=0), expected


def _alpha() -> tuple[bytes, np.ndarray]:
    values = np.zeros((2, 2, 4), np.uint8)
    values[0] = (200, 0, 0, 255)  # the second row is transparent black
    expected = np.full((2, 2, 3), 255, np.uint8)
    expected[0] = (200, 0, 0)
    return saved(Image.fromarray(values), "PNG"), expected


def _gray_16(file_format: str) -> Callable[[], tuple[bytes, np.ndarray]]:
    def made() -> tuple[bytes, np.ndarray]:
        values = np.array([[0, 257, 25_700], [40_000, 65_278, 65_535]], np.uint16)
        expected = np.repeat((values // 257).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
        if file_format == "PPM":
            return b"P5 3 2 65535\n" + values.astype(">u2").tobytes(), expected
        return saved(Image.fromarray(values), file_format), expected

    return made


def _rgb_16() -> tuple[bytes, np.ndarray]:
    values = PIXELS.astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    return _png(header, zlib.compress(rows)), PIXELS


def _png(header: bytes, data: bytes) -> bytes:
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(of)) + name + of + struct.pack(">I", zlib.crc32(name + of)) for name, of in chunks
    )


def _animation(file_format: str) -> Callable[[], tuple[bytes, np.ndarray]]:
    def made() -> tuple[bytes, np.ndarray]:
        frames = [Image.new("RGB", (6, 4), color) for color in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
        options = {"quality": 95, "save_all": True, "append_images": frames[1:], "duration": 50}
        raw = saved(frames[0], file_format, **options, **({} if file_format == "MPO" else {"lossless": True}))
        return raw, np.asarray(frames[0])

    return made


@pytest.mark.parametrize(
    "make",
    [
        *(_mode(mode) for mode in ("1", "L", "P", "LA", "CMYK", "YCbCr")),
        _palette_with_transparency,
        _alpha,
        *(_gray_16(file_format) for file_format in ("PNG", "TIFF", "PPM")),
        _rgb_16,
        *(_animation(file_format) for file_format in ("GIF", "WEBP", "PNG", "TIFF", "MPO")),
    ],
)
def test_each_kind_of_pixels_is_converted(make: Callable[[], tuple[bytes, np.ndarray]]) -> None:
    raw, expected = make()
    image = decode(raw)
    assert image.pixels is not None, image.reason
    assert np.abs(image.pixels.astype(int) - expected).max() <= 2


def test_cmyk_as_jpeg_is_not_inverted() -> None:
    image = decode(saved(Image.new("RGB", (16, 16), (220, 30, 40)).convert("CMYK"), "JPEG", quality=95))
    assert image.pixels is not None, image.reason
    assert np.abs(image.pixels[8, 8].astype(int) - (220, 30, 40)).max() < 10


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_an_image_is_turned_as_exif_says(orientation: int, file_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    quadrants = np.zeros((16, 32, 3), np.uint8)
    quadrants[:8, :16] = (250, 0, 0)
    stored = np.array(Image.fromarray(quadrants).transpose(_INVERSE[orientation])) if orientation > 1 else quadrants
    image = decode(saved(Image.fromarray(stored), file_format, exif=exif, quality=95))
    assert image.pixels is not None, image.reason
    assert image.pixels.shape == quadrants.shape
    assert np.abs(image.pixels[2:6, 2:14].astype(int) - (250, 0, 0)).max() < 12
    assert image.pixels[10:, 18:].max() < 12


_INVERSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x01"]
)
def test_broken_exif_data_do_not_matter(exif: bytes) -> None:
    assert decode(saved(rgb(), "JPEG", exif=exif)).pixels is not None


_BOMB = _png(struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), zlib.compress(b"\0" * 1000))
_LARGE = _png(struct.pack(">IIBBBBB", 10_000, 9_000, 8, 2, 0, 0, 0), zlib.compress(b"\0" * 1000))
_DAMAGED = bytearray(saved(rgb(), "PNG"))
_DAMAGED[60:90] = bytes(30)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, I am a text file", "it is not an image of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is not an image of a known format"),
        (b"\0" * 4096, "it is not an image of a known format"),
        (b"\xff\xd8\xff\xe0", "it is not an image of a known format"),
        (saved(rgb(), "JPEG")[:300], "the image is broken"),
        (saved(Image.fromarray(RNG.integers(0, 255, (64, 64, 3), np.uint8)), "PNG")[:5000], "the image is broken"),
        (bytes(_DAMAGED), "the image is broken"),
        (_BOMB, "at most 89,478,485 are read"),
        (_LARGE, "it has 10,000 x 9,000 pixels; at most 89,478,485 are read"),
        (saved(Image.fromarray(np.full((2, 2), 0.5, np.float32)), "TIFF"), "floating-point"),
        (saved(Image.fromarray(np.full((2, 2), 70_000, np.int32)), "TIFF"), "32 bits"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_image_has_a_reason(raw: bytes, reason: str) -> None:
    decoding._prepare_pillow.cache_clear()  # pytest has replaced the filters of warnings
    image = decode(raw)
    assert (image.pixels, image.key) == (None, "")
    assert reason in image.reason


def test_no_damage_raises() -> None:
    """Bytes of each format are cut off or overwritten; an exception or a warning would end the test."""
    for file_format in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"):
        whole = saved(rgb(), file_format)
        for _ in range(60):
            damaged = bytearray(whole[: int(RNG.integers(1, len(whole)))] if RNG.random() < 0.3 else whole)
            for at in RNG.integers(0, len(damaged), 4):
                damaged[at] = int(RNG.integers(256))
            image = decode(bytes(damaged))
            assert (image.pixels is None) == bool(image.reason)


def test_paths_that_are_no_readable_file_have_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "large").write_bytes(b"x" * 100)
    monkeypatch.setattr(decoding, "MAX_BYTES", 99)
    reasons = [
        decode(tmp_path / name).reason for name in ("absent.jpg", "pipe", "loop", "", "large", "a\0b", "x" * 300)
    ]
    assert reasons[0] == "the file does not exist"
    assert reasons[1] == reasons[3] == "it is not a regular file"
    assert all("cannot be read" in reasons[at] for at in (2, 5, 6)), reasons
    assert "at most" in reasons[4]


def test_a_skipped_file_shifts_no_row(tmp_path: Path) -> None:
    colors = [(250, 0, 0), None, (0, 250, 0), None, (0, 0, 250)]
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path, color in zip(paths, colors, strict=True):
        path.write_bytes(b"broken" if color is None else saved(Image.new("RGB", (3, 2), color), "PNG"))
    done: list[int] = []
    files = check_images(paths, done.append)
    assert (files.rows, sorted(files.skipped), sum(done)) == ((0, 2, 4), [1, 3], 5)
    assert [tuple(int(v) for v in pixels[0, 0]) for pixels in files] == [colors[row] for row in files.rows]
    assert [pixels.shape for pixels in files[1:]] == [(2, 3, 3)] * 2
    assert len(set(files.keys)) == 3
    assert check_images([paths[4]]).keys == files.keys[2:]
    assert [raw[8:11] for raw in ImageInputs(files).encode(range(3))] == [
        bytes(colors[row] or ()) for row in files.rows
    ]


def test_a_file_that_changes_while_it_is_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bird.png"
    path.write_bytes(saved(rgb(), "PNG"))
    files = check_images([path])
    path.write_bytes(saved(rgb().rotate(180), "PNG"))
    with pytest.raises(DataError, match=r"bird\.png has changed"):
        files[0]
