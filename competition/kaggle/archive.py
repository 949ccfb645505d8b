"""Unpacking an archive that comes from outside: everything is checked before anything is written."""

import errno
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from competition.errors import DataError
from competition.kaggle.formats.contents import MAX_MEMBERS, CorruptArchive, Member, bomb, damaged, encrypted, too_many
from competition.kaggle.formats.detect import is_archive, open_archive
from competition.kaggle.whole_folder import whole_folder

# An archive may grow to the larger of these: images hardly shrink, tables by 10 to 50 times, a bomb by 1000 times.
MAX_RATIO = 200
ALWAYS_ALLOWED = 256 * 2**20

# Archives inside archives: Kaggle packs train.csv.zip or train.zip into the competition's archive, never deeper.
MAX_DEPTH = 2

# By name too: .npz, .docx and model files are zips that mean to stay so. Kaggle serves zips under the names of tables.
INNER = re.compile(r"\.(zip|7z|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz)|csv|tsv|txt|json)$", re.IGNORECASE)

DISK_RESERVE = 512 * 2**20
DISK_BLOCK = 4096

# What every file system of today can hold.
MAX_PART_BYTES = 255
MAX_PATH_BYTES = 1024
MAX_FOLDERS = 64  # one in the other

_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def unpack(archive: Path, target: Path) -> int:
    """Unpack `archive`, and the archives inside it, as the folder `target`; return the number of files.

    Zip, 7z and tar, the last also packed with gzip, bzip2 or xz, whatever the file's name. A table that is no archive
    comes into the folder as <name of the archive>.csv.

    The files are written to a folder beside `target`, which takes its name at the very end: an interrupted unpacking
    leaves no `target` and is done again. Two processes may unpack the same at once; the first to finish provides it.

    Raises:
        CorruptArchive: no archive, cut short, with something before or after it, or a checksum differs.
        DataError: a member would be written outside the folder, is a link, encrypted or there twice, or has a name that
            cannot be written; or the archive expands to more than is plausible, or than the disk holds; or an archive
            inside it is damaged; or `target` is there already. Nothing is written then.
    """
    if target.exists() and any(target.iterdir()):
        raise DataError(f"{target}: is there already. Delete it, if {archive.name} is to be unpacked again.")
    with whole_folder(target) as folder:
        if not is_archive(archive) and _is_table(archive):
            shutil.copyfile(archive, folder / f"{archive.stem}.csv")
            return 1
        budget = _Budget(max(ALWAYS_ALLOWED, MAX_RATIO * archive.stat().st_size), MAX_MEMBERS)
        return _extract(archive, str(archive), folder, budget, MAX_DEPTH)


@dataclass
class _Budget:
    """How much the archive and those inside it may still expand to, together."""

    bytes: int
    members: int


def _extract(archive: Path, label: str, folder: Path, budget: _Budget, depth: int, named: Path | None = None) -> int:
    """Check every member, then write them all, then do so with the archives among them; return the number of files.

    Args:
        label: what messages call the archive.
        depth: how many archives one in the other are still unpacked.
        named: the path of an archive inside another, from where it has stepped aside.
    """
    with open_archive(archive, label, budget.bytes) as contents:
        sizes = _check(label, contents.members, budget)
        if named and len({name.partition("/")[0] for name in sizes} - {"__MACOSX"}) > 1:
            # train.csv.zip holds train.csv, train.zip a folder train/, or its files bare: these go to train/.
            folder = named.with_name(INNER.sub("", named.name))
        budget.bytes -= sum(sizes.values())
        budget.members -= len(contents.members)
        _check_space(folder, sizes)
        with _progress(label, sizes) as bar, _Sink(label, folder, sizes, bar) as sink:
            contents.copy(sink)
    inner = [name for name in sizes if depth and INNER.search(name)]
    return len(sizes) + sum(_extract_inner(folder / name, f"{label}/{name}", budget, depth - 1) for name in inner)


def _extract_inner(path: Path, label: str, budget: _Budget, depth: int) -> int:
    """Put an archive's files in its place; return by how many the files have become more."""
    try:
        if not is_archive(path):
            return 0
        # The folder cannot hold train.csv and the zip of that name, so the zip steps aside first.
        with tempfile.TemporaryDirectory(dir=path.parent) as aside:
            archive = path.rename(Path(aside) / "archive")
            return _extract(archive, label, path.parent, budget, depth, path) - 1
    except CorruptArchive as error:
        raise DataError(
            f"{error}. It is so inside an archive that is whole, and fetching that again does not help: tell the "
            "contest's host, and unpack the rest by hand."
        ) from error


def _check(label: str, members: list[Member], budget: _Budget) -> dict[str, int]:
    """The size of each file, by its plain path. Raises DataError over the first member that must not be written."""
    if len(members) > budget.members:
        too_many(label)
    sizes: dict[str, int] = {}
    folders: set[str] = set()
    for member in members:
        path = PurePosixPath(member.name)
        problem = _problem(member, path)
        if str(path) in sizes and member.kind == "file":
            problem = problem or "is there twice"
        if problem:
            raise DataError(
                f"{label}: member {member.name[:80]!r} {problem}. Nothing was unpacked; do not trust this archive."
            )
        if member.encrypted:
            encrypted(label, f"member {member.name[:80]!r}")
        if member.kind == "file":
            sizes[str(path)] = member.size
        folders.update(str(above) for above in ((path, *path.parents) if member.kind == "folder" else path.parents))
    clash = folders & sizes.keys()
    if clash:
        raise DataError(f"{label}: {min(clash)!r} is both a file and a folder. Nothing was unpacked.")
    expanded = sum(sizes.values())
    if expanded > budget.bytes:
        bomb(label, f"{expanded / 1e9:.1f} GB")
    return sizes


def _problem(member: Member, path: PurePosixPath) -> str | None:
    if _UNSPEAKABLE.search(member.name):
        return "has control characters in its name"
    if re.match(r"/|[A-Za-z]:", member.name) or "\\" in member.name:
        return "has an absolute path or a backslash"
    if ".." in path.parts or (not path.parts and member.kind != "folder"):
        return "leads outside the folder"
    if member.kind == "other":
        return "is a link or a device, not a file"
    if len(path.parts) > MAX_FOLDERS or len(str(path).encode()) > MAX_PATH_BYTES:
        return "has a path that is too long"
    if any(len(part.encode()) > MAX_PART_BYTES for part in path.parts):
        return "has a name that is too long"
    return None


def _check_space(folder: Path, sizes: dict[str, int]) -> None:
    while not folder.exists():
        folder = folder.parent
    needed = sum(-(-size // DISK_BLOCK) * DISK_BLOCK for size in sizes.values()) + DISK_RESERVE
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. "
            "Free some disk, or use --data on another."
        )


def _progress(label: str, sizes: dict[str, int]) -> tqdm:
    expanded = sum(sizes.values())
    quiet = not sys.stderr.isatty()
    if quiet:
        print(f"unpacking {Path(label).name}: {len(sizes)} files, {expanded / 1e6:.1f} MB", flush=True)
    return tqdm(total=expanded, unit="B", unit_scale=True, desc="unpacking", leave=False, disable=quiet)


class _Sink:
    """Writes files that were checked, and nothing else: no other name, no other size, over no other file."""

    def __init__(self, label: str, folder: Path, sizes: dict[str, int], bar: tqdm) -> None:
        self.folder = folder
        self._label = label
        self._sizes = sizes
        self._bar = bar
        self._made: set[Path] = set()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "_Sink":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError):
            error.filename = error.filename or str(self.folder)  # a full disk is noticed by write, which knows no name
        if self._file:
            self._file.close()

    def begin(self, name: str) -> None:
        name = str(PurePosixPath(name))
        path = self.folder / name
        self._name, self._left = name, self._sizes[name]
        try:
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            self._file = path.open("xb")
        except OSError as error:
            self._refuse(error)

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._label}: member {self._name!r} expands to more than its header says")
        self._file.write(data)
        self._bar.update(len(data))

    def end(self) -> None:
        self._file.close()
        if self._left:
            damaged(f"{self._label}: member {self._name!r}", "it ends too early")

    def _refuse(self, error: OSError) -> None:
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            problem = (
                "has the name of another file or folder, perhaps that of another archive inside this one, or one that "
                "this file system takes for the same (capitals, accents)"
            )
        elif error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            problem = f"has a name that cannot be written to this file system: {error.strerror}"
        else:
            raise error
        raise DataError(
            f"{self._label}: member {self._name!r} {problem}. Nothing was unpacked; unpack the archive by hand."
        ) from error


def _is_table(path: Path) -> bool:
    """Whether this is text of the kind of a CSV, and not a page or a message that tells of an error."""
    with path.open("rb") as file:
        beginning = file.read(2**16)
    try:
        header = beginning[: beginning.find(b"\n") + 1].decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return "," in header and not _UNSPEAKABLE.search(header.rstrip()) and header.lstrip()[:1] not in ("<", "{", "[")
