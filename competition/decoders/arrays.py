"""NumPy files: one image in a .npy or .npz, or many in a .npy."""

import io
import tokenize
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from competition.decoders.headers import LIMIT
from competition.errors import DataError

WIDEST = 16  # bytes of a number


def read_npy(path: Path, index: int | None) -> np.ndarray:
    """The array in a .npy file, or its image number `index`, as a read-only view of the file.

    Raises DataError when the file is missing, cut short or holds pickled objects, or has no such image.
    """
    try:
        if index is None:
            return _checked(np.load(path, mmap_mode="r", allow_pickle=False), path)
        stat = path.stat()
        images = _mapped(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, tokenize.TokenError) as error:
        raise DataError(f"{path}: not a whole .npy file of plain numbers: {error}") from error
    if images.ndim < 3 or not 0 <= index < len(images):
        raise DataError(f"{path}: an array of shape {images.shape} has no image number {index} (the first is 0)")
    return _checked(images[index], path)


def read_npz(encoded: bytes, path: Path) -> np.ndarray:
    """The only array of a .npz file. Raises DataError when it holds none, several, too much, or is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(encoded)) as archive:
            size = sum(member.file_size for member in archive.infolist())  # zipfile unpacks no more than that
        if size > WIDEST * LIMIT:
            raise DataError(f"{path}: {size} bytes, unpacked, are too many for one image")
        with np.load(io.BytesIO(encoded), allow_pickle=False) as archive:
            names = archive.files
            array = archive[names[0]] if len(names) == 1 else None
    except (ValueError, EOFError, OSError, RuntimeError, zlib.error, tokenize.TokenError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a whole .npz file of plain numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: an archive of {', '.join(names[:5]) or 'nothing'}, not of one array")
    return _checked(array, path)


@lru_cache(maxsize=16)
def _mapped(path: Path, size: int, mtime: int) -> np.ndarray:  # noqa: ARG001 - they tell a changed file
    """Opened once for all its images and all threads."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _checked(array: np.ndarray, path: Path) -> np.ndarray:
    if array.size > LIMIT:
        raise DataError(f"{path}: {array.size} values are too many for one image (shape {array.shape})")
    return array
