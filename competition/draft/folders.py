"""Contests without a training table: the class is a folder, or a part of the file's name."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from competition.draft.tree import Tree, spread

PARTS = re.compile(r"train|test|val|valid|validation|images?|public|private|data|sample.*", re.IGNORECASE)
# A class and a number, black_cat.12; or a class before the first sign, cat.a7f
NAMED = (
    r"^(?P<label>.*?[^\W\d_].*?)(?P<between>[._\- ]+)(?P<number>\d+)$",
    r"^(?P<label>[^._\- ]+)(?P<between>[._\- ]+)(?P<number>.+)$",
)


@dataclass(frozen=True)
class Classes:
    """files: a pattern with {label}. id: of a row. group: what several rows share.

    frame: the labels of the files that were seen; some: a few of these.
    """

    files: str
    id: str
    seen: str
    frame: pd.DataFrame
    some: list[str]
    group: str | None = None


def find_classes(tree: Tree) -> Classes | None:
    """The training images of a contest whose classes are folders or parts of names."""
    parents: dict[str, list[str]] = {}
    for folder in tree.images:
        path = PurePosixPath(folder)
        if folder != "." and not PARTS.fullmatch(path.name):
            parents.setdefault(path.parent.as_posix(), []).append(folder)
    several = {parent: folders for parent, folders in parents.items() if len(folders) > 1}
    if several:
        parent = max(
            several, key=lambda parent: ("train" in parent.lower(), "test" not in parent.lower(), -len(parent))
        )
        return _folders(tree, parent, several[parent])
    flat = [folder for folder in tree.images if "test" not in folder.lower()]
    for folder in sorted(flat, key=lambda folder: "train" not in folder.lower()):
        found = _names(tree, folder)
        if found is not None:
            return found
    return None


def find_unlabelled(tree: Tree, part: str) -> str | None:
    """A pattern of the images in the folder of this name, such as test/{name}.png."""
    folders = [folder for folder in tree.images if part in folder.lower()]
    if not folders:
        return None
    folder = min(folders, key=len)
    return f"{folder}/{{name}}{_extension(tree.images[folder])}"


def find_holdout(tree: Tree, classes: Classes) -> str | None:
    """The pattern of labelled images that stand beside the training images as these do, in a folder named val…"""
    for name in ("val", "valid", "validation"):
        files = classes.files.replace("train", name, 1)
        start = files.partition("{label}")[0]
        if files != classes.files and start and any(f"{folder}/".startswith(start) for folder in tree.images):
            return files
    return None


def _folders(tree: Tree, parent: str, folders: list[str]) -> Classes:
    start = "" if parent == "." else f"{parent}/"
    files = [(PurePosixPath(folder).name, file) for folder in folders for file in tree.images[folder]]
    frame = pd.DataFrame({"label": [label for label, _ in files]}, dtype=str)
    some = [file for _, file in spread(files, 20)]
    pattern = f"{start}{{label}}/{{name}}{_extension([file for _, file in files])}"
    cut = " at least" if parent in tree.more else ""
    seen = f"{len(folders)} folders{cut} with images in {parent if start else 'the data folder'}"
    first = [PurePosixPath(file).name for file in spread(tree.images[folders[0]], 200)]
    again = sum((tree.root / other / name).is_file() for name in first for other in folders[1:20])
    stems = [PurePosixPath(file).stem for _, file in files]
    if again > len(first) / 2:
        return Classes(pattern, "{label}/{name}", f"{seen}; they hold files of the same names", frame, some, "name")
    return Classes(pattern, "{label}/{name}" if again or len(set(stems)) < len(stems) else "name", seen, frame, some)


def _names(tree: Tree, folder: str) -> Classes | None:
    files = tree.images[folder]
    stems = pd.Series([PurePosixPath(file).stem for file in files], dtype=str)
    start = "" if folder == "." else f"{folder}/"
    for expression in NAMED:
        found = stems.str.extract(expression)
        count = found["label"].nunique()
        if found.notna().all(axis=None) and found["between"].nunique() == 1 and 2 <= count <= len(files) / 4:
            name = f"{{label}}{found['between'].iloc[0]}{{number}}"
            seen = f"{len(files):,} file names such as {PurePosixPath(files[0]).name} hold {count} classes"
            return Classes(f"{start}{name}{_extension(files)}", name, seen, found[["label"]], spread(files, 20))
    return None


def _extension(files: tuple[str, ...] | list[str]) -> str:
    extensions = {PurePosixPath(file).suffix for file in files}
    return extensions.pop() if len(extensions) == 1 else ".*"
