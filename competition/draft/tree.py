"""What lies in a contest's folder: its tables, and a sample of its images."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from competition.rows.locate import EXTENSIONS

TABLES = frozenset([".csv", ".tsv", ".json"])
ARCHIVES = frozenset([".zip", ".7z", ".tar", ".gz", ".tgz"])
FILES_PER_FOLDER, FOLDERS_PER_FOLDER, ENTRIES_PER_FOLDER, FOLDERS = 2_000, 100, 50_000, 3_000


@dataclass(frozen=True)
class Tree:
    """Paths below the contest's folder, with / between their parts.

    images: by folder, at most FILES_PER_FOLDER of each. more: folders that were not looked through to their end.
    """

    root: Path
    tables: tuple[str, ...]
    archives: tuple[str, ...]
    images: dict[str, tuple[str, ...]]
    more: frozenset[str]

    def sample(self, limit: int = 5_000) -> list[str]:
        """At most about `limit` image files, some of every folder."""
        each = max(1, limit // max(1, len(self.images)))
        return [file for files in self.images.values() for file in spread(files, each)]


def spread(items: tuple | list, n: int) -> list:
    """At most n of the items, evenly spaced."""
    return [items[i * len(items) // n] for i in range(n)] if len(items) > n else list(items)


def look_through(root: Path) -> Tree:
    """Look through a folder. The work is bounded: of large folders only a part is seen."""
    tables, archives, images, more = [], [], {}, set()
    waiting = [root]  # breadth first, so that the limit cuts the deepest folders
    for seen, folder in enumerate(waiting):
        relative = folder.relative_to(root).as_posix()
        pictures, folders = [], []
        for entry in _entries(folder):
            end = Path(entry.name).suffix.lower()
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_dir():
                folders.append(folder / entry.name)
            elif end in EXTENSIONS:
                pictures.append(entry.name if relative == "." else f"{relative}/{entry.name}")
            elif end in TABLES and len(Path(relative).parts) <= 2:
                tables.append((folder / entry.name).relative_to(root).as_posix())
            elif end in ARCHIVES:
                archives.append((folder / entry.name).relative_to(root).as_posix())
            if len(pictures) >= FILES_PER_FOLDER:
                more.add(relative)
                break
        if len(folders) > FOLDERS_PER_FOLDER or seen + len(waiting) > FOLDERS:
            more.add(relative)
        if pictures:
            images[relative] = tuple(sorted(pictures))
        if len(waiting) < FOLDERS:
            waiting += spread(sorted(folders), FOLDERS_PER_FOLDER)
    return Tree(root, tuple(sorted(tables)), tuple(sorted(archives)), images, frozenset(more))


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    with os.scandir(folder) as entries:
        for _, entry in zip(range(ENTRIES_PER_FOLDER), entries, strict=False):
            yield entry
