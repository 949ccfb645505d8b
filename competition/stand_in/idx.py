"""IDX files, the format of MNIST and its successors (yann.lecun.com/exdb/mnist)."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from competition.errors import DataError

GZIP = b"\x1f\x8b"
BYTES = b"\x00\x00\x08"  # how an array of uint8 begins; its number of dimensions is the next byte


@dataclass(frozen=True)
class IdxFile:
    """A file that is known: its name, the shape of its uint8 array, and the SHA-256 of its unpacked bytes."""

    name: str
    shape: tuple[int, ...]
    sha256: str


def read_idx(folder: Path, known: IdxFile, fix: str) -> np.ndarray:
    """The array of a known file in `folder`, there as it is or packed with gzip, with or without .gz in its name.

    Args:
        fix: where to get the file, for messages.

    Raises DataError: the file is missing, cut short, no IDX file of uint8, of another shape, or has other bytes.
    """
    path = next((path for path in (folder / known.name, folder / f"{known.name}.gz") if path.is_file()), None)
    if path is None:
        raise DataError(f"{folder} holds neither {known.name} nor {known.name}.gz. {fix}")
    content = path.read_bytes()
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path}: its gzip data are cut short or damaged ({error}). {fix}") from error
    shape = _shape(content)
    if shape is None:
        raise DataError(f"{path}: not an IDX file of bytes: it begins with {content[:4].hex(' ') or 'nothing'}. {fix}")
    if shape != known.shape:
        raise DataError(f"{path}: its header promises {_by(shape)} values, {_by(known.shape)} are expected. {fix}")
    start = 4 + 4 * len(shape)
    if len(content) != start + prod(shape):
        what = "cut short" if len(content) < start + prod(shape) else "longer than its header says"
        raise DataError(f"{path}: {what}: {len(content):,} bytes, {start + prod(shape):,} are expected. {fix}")
    if (found := hashlib.sha256(content).hexdigest()) != known.sha256:
        raise DataError(f"{path}: not the file it should be: its bytes have SHA-256 {found}, not {known.sha256}. {fix}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _shape(content: bytes) -> tuple[int, ...] | None:
    """What the header says; None where it is none, or not all there."""
    dimensions = content[3] if content.startswith(BYTES) and len(content) > 3 else 0
    header = content[4 : 4 + 4 * dimensions]
    return tuple(np.frombuffer(header, ">u4").tolist()) if dimensions and len(header) == 4 * dimensions else None


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(f"{side:,}" for side in shape)
