"""Reads .npy files that may be broken or hostile: type, shape and size are checked before memory is allocated."""

import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import StoreError

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path, shape: Sequence[int | None], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Read an array whose type and shape are known, into memory.

    Args:
        path: A .npy file; a symbolic link is refused.
        shape: The expected length of each dimension; None for any length.
        dtype: The expected type of numbers.

    Returns:
        Read-only array of this type and shape; all values are finite.

    Raises:
        StoreError: The file is missing, is not such an array, or has a value that is not finite.

    """
    try:
        with open_regular(path) as file:
            found, offset, found_dtype = _header(file)
            if found_dtype != np.dtype(dtype):
                raise ValueError(f"it has values of type {found_dtype}; expected {np.dtype(dtype)}")
            if len(found) != len(shape) or any(w not in (None, n) for n, w in zip(found, shape, strict=True)):
                raise ValueError(f"it has the shape {found}; expected {tuple(shape)}, where None is any length")
            n_bytes = math.prod(found) * np.dtype(dtype).itemsize
            if os.fstat(file.fileno()).st_size != offset + n_bytes:
                raise ValueError(f"its size does not fit its shape {found}")
            array = np.frombuffer(file.read(n_bytes), dtype).reshape(found)
        if not np.isfinite(array).all():
            raise ValueError("it has a value that is not finite")
    except (OSError, ValueError, TypeError, SyntaxError, TokenError, OverflowError, MemoryError) as error:
        raise StoreError(f"{path} cannot be read: {_reason(error)}; run the experiment again.") from error
    return array


def check_npy(path: Path) -> None:
    """Check that a .npy file has numbers, and as many as its header says, without reading them.

    Args:
        path: A .npy file; a symbolic link is refused.

    Raises:
        StoreError: It is not such a file.

    """
    try:
        with open_regular(path) as file:
            shape, offset, dtype = _header(file)
            if dtype.kind not in "fiub":
                raise ValueError("it has no numbers")
            if os.fstat(file.fileno()).st_size != offset + math.prod(shape) * dtype.itemsize:
                raise ValueError(f"its size does not fit its shape {shape}")
    except (OSError, ValueError, TypeError, SyntaxError, TokenError, OverflowError) as error:
        raise StoreError(f"{path} cannot be read: {_reason(error)}; run the experiment again.") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Args:
        path: The file.

    Returns:
        The open file.

    Raises:
        OSError: It does not exist, is a symbolic link, or is not a regular file; a named pipe does not block.

    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "not a file")
    return os.fdopen(handle, "rb")


def _header(file: BinaryIO) -> tuple[tuple[int, ...], int, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"its version {version} is unknown")
    shape, fortran_order, dtype = _READERS[version](file)
    if fortran_order:
        raise ValueError("its values are in the order of Fortran")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("its shape is broken")
    return shape, file.tell(), dtype


def _reason(error: Exception) -> str:
    """Return the reason on one line, without the path, which the message has already."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:300] or type(error).__name__
