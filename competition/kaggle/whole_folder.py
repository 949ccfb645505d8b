"""A folder that is whole or absent: filled beside, flushed to the disk, renamed."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which becomes `target` at the end of the block, unless an error ends it.

    Two processes may fill it at once, each a folder of its own: the first to finish provides `target`. What processes
    that were killed left behind is removed by the next one. `target` may be a link to a folder on another disk.
    """
    target = target.resolve()
    with _working_folder(target) as work:
        folder = work / "content"
        folder.mkdir()
        yield folder
        os.sync()
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


@contextmanager
def _working_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` for this process alone; those that killed processes left there are removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.unpacking"
    for left in target.parent.glob(f"{escape(prefix)}*"):
        with _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB) as abandoned:
            if abandoned:
                shutil.rmtree(left, ignore_errors=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        with _locked(folder, fcntl.LOCK_EX) as ours:
            if not ours:
                continue  # another process took it for abandoned before it was locked
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[bool]:
    """Hold the lock of a working folder, which ends with the process; False where another holds it, or it is gone."""
    try:
        file = (folder / "lock").open("a")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        yield False
        return
    with file:
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            yield False
            return
        yield folder.exists()
