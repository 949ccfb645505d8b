"""Files that are whole or absent: write beside, flush to disk, rename."""

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_open(path: Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary file beside `path` for writing; on success it replaces `path`, on any error it is removed.

    Args:
        path: the final name. Its folder is made when missing.
        mode: "w" (UTF-8, newlines as written) or "wb".

    A reader sees the old file or the whole new one, also after a power cut: the data is synced before the rename.
    The process and its machine in the temporary name let two processes write the same target, on a shared disk too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.tmp")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with temporary.open(mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk is noticed by write, which knows no name
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of_all(paths: Iterable[Path]) -> str:
    """SHA-256 of several files' bytes, one after the other."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
