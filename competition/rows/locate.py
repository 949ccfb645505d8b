"""Where the images of a table's rows are."""

import glob
import os
from pathlib import Path, PurePosixPath

import numpy as np

from competition.contest import Contest
from competition.errors import DataError
from competition.images import Picture
from competition.patterns import escape, fill
from competition.rows.labels import natural
from competition.rows.sources import FILE, Table
from competition.spec_parts import Source, Views

# Where two files differ in their extension only, the first of these is taken.
EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".npy", ".npz", ".dcm")


def locate(contest: Contest, source: Source, table: Table) -> list[tuple[Picture, ...]]:
    """The pictures of every row; an empty tuple where one of its files is missing.

    Folders are listed once, rather than asked for each of a few hundred thousand files.
    Raises DataError when a value of the table would lead out of the data folder.
    """
    pixels, views = contest.spec.pixels, contest.spec.views
    if table.arrays is not None:
        return [(Picture((table.arrays,), index, pixels),) for index in range(len(table))]
    if source.images is None:
        return [(Picture((contest.data / path,), None, pixels),) for path in table.frame[FILE]]
    columns = [_files(contest, table, pattern) for pattern in source.patterns]
    if len(columns) == 1 and not source.finds_several:
        return [(Picture(found, None, pixels),) if found else () for found in columns[0]]
    rows = []
    for found in zip(*columns, strict=True):
        files = tuple(file for some in found for file in some) if all(found) else ()
        if files and views.stack:
            rows.append((Picture(evenly(files, views), None, pixels),))
        else:
            rows.append(tuple(Picture((file,), None, pixels) for file in files))
    return rows


def evenly(images: tuple, views: Views) -> tuple:
    """`views.take` of the images, in the middle of as many equal parts; a stack repeats some where there are fewer."""
    take, n = views.take, len(images)
    if take is None or (n <= take and not views.stack):
        return images
    return tuple(images[int(place)] for place in (np.arange(take) + 0.5) * n / take)


def _files(contest: Contest, table: Table, pattern: str) -> list[tuple[Path, ...]]:
    """The files that the pattern leads to in each row, in natural order; none where there is none."""
    several = "*" in pattern.removesuffix(".*")
    relative = fill(pattern, escape(table.frame, pattern) if several else table.frame, str(table.path))
    # The table comes from outside: an id such as ../../x must not lead out of the data folder.
    suspicious = relative.str.contains("..", regex=False) | relative.str.startswith("/")
    for row in np.flatnonzero(suspicious):
        path = PurePosixPath(relative.iloc[row])
        if ".." in path.parts or path.is_absolute():
            raise DataError(f"{table.place(int(row))}: image path {str(path)!r} leads outside the data folder")
    folders: dict[str, tuple[Path, dict[str, str]]] = {}
    found = []
    for path in relative:
        if several:
            matches = glob.glob(path, root_dir=contest.data)  # noqa: PTH207 - as strings, to be sorted
            found.append(tuple(contest.data / match for match in sorted(matches, key=natural)))
            continue
        folder, _, name = path.rpartition("/")
        stem = name.removesuffix(".*")
        if folder not in folders:
            place = contest.data / folder
            folders[folder] = (place, _listing(place))
        place, names = folders[folder]
        there = names.get(stem if name != stem else f"/{name}")
        found.append((place / there,) if there else ())
    return found


def _listing(folder: Path) -> dict[str, str]:
    """File names by themselves, with a / before them, and by their stems."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return {}
    rank = {extension: place for place, extension in enumerate(EXTENSIONS)}
    parts = [(*os.path.splitext(name), name) for name in names]  # noqa: PTH122 - a Path for each is ten times slower
    images = [part for part in parts if part[1].lower() in rank]
    images.sort(key=lambda part: rank[part[1].lower()], reverse=True)
    return {stem: name for stem, _, name in images} | {f"/{name}": name for name in names}
