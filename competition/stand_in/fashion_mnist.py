"""Fashion-MNIST as a contest: PNG files, tables, a zip as Kaggle would serve it, and the answers for the local Kaggle.

Xiao, Rasul and Vollgraf 2017 (arXiv:1708.07747): 60,000 training and 10,000 test images of ten kinds of clothes, grey,
28×28. Nothing is downloaded: the four IDX files come from Debian's package dataset-fashion-mnist, or from a folder.
"""

import argparse
import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from competition import cli
from competition.stand_in.idx import IdxFile, read_idx

if TYPE_CHECKING:
    import numpy as np

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
PUBLIC_SHARE = 0.4
FIX = (
    f"Install Debian's package (sudo apt install dataset-fashion-mnist; its files lie in {DEBIAN}), or name a folder "
    "with the four files of github.com/zalandoresearch/fashion-mnist"
)


@dataclass(frozen=True)
class Files:
    """The images (N, height, width) and the labels (N,), 0…9, of one part."""

    images: IdxFile
    labels: IdxFile


# The checksums are of the unpacked bytes: gzip's own depend on who packed them.
TRAIN = Files(
    IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxFile("train-labels-idx1-ubyte", (60_000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
)
TEST = Files(
    IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxFile("t10k-labels-idx1-ubyte", (10_000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m competition.stand_in.fashion_mnist", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=DEBIAN, metavar="FOLDER", help=f"of the IDX files (default: {DEBIAN})"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data/fashion-mnist"), metavar="DIR", help="default: data/fashion-mnist"
    )
    cli.add_debug_argument(parser)
    args = parser.parse_args()

    archive, answers = build(args.folder, args.data)
    print(f"{args.data}: what to train on and what to predict; apart from it, the answers: {answers}")
    print("next: python -m folds -c fashion-mnist")
    print(f"Kaggle's part: python -m competition serve -c fashion-mnist --zip {archive} --answers {answers}")


def build(source: Path, data: Path, train: Files = TRAIN, test: Files = TEST) -> tuple[Path, Path]:
    """Write the contest's data folder from the IDX files in `source`, and beside it what the local Kaggle needs.

    `data` holds train.csv (id, label), train/<id>.png, test/<id>.png and sample_submission.csv; <data>.zip the same;
    <data>.answers.csv the test rows' id, label and Usage, Public for the first 40 % of them. What is there already is
    left as it is; each of the three appears whole or not at all. The same files give the same bytes.

    Returns the paths of the zip and the answers. Raises DataError as `read_idx`.
    """
    from competition.kaggle.archive import unpack  # stands here for the sake of --help

    archive, answers = data.with_name(f"{data.name}.zip"), data.with_name(f"{data.name}.answers.csv")
    unpacked = data.is_dir() and any(data.iterdir())
    if not (archive.is_file() and answers.is_file()):
        _write(source, archive, answers, train, test)
    if not unpacked:
        unpack(archive, data)
    return archive, answers


def _write(source: Path, archive: Path, answers: Path, train: Files, test: Files) -> None:
    import numpy as np
    from tqdm import tqdm

    from competition.files import atomic_open

    parts = {
        name: [read_idx(source, file, FIX) for file in (files.images, files.labels)]
        for name, files in (("train", train), ("test", test))
    }
    images = np.concatenate([each for each, _ in parts.values()])
    rows = {name: [(f"{name}{i:05}", CLASSES[k]) for i, k in enumerate(its)] for name, (_, its) in parts.items()}
    names = [f"{name}/{row[0]}.png" for name, its in rows.items() for row in its]
    public = round(PUBLIC_SHARE * len(rows["test"]))
    usage = [(*row, "Public" if i < public else "Private") for i, row in enumerate(rows["test"])]
    with atomic_open(answers) as file:
        file.write(_csv(("id", "label", "Usage"), usage))
    with atomic_open(archive, "wb") as file, zipfile.ZipFile(file, "w") as packed:
        # A bare ZipInfo has a fixed date, so that the archive depends on nothing but its content.
        bar = tqdm(_png(images), total=len(names), desc=f"packing {archive.name}", disable=None, leave=False)
        for name, png in zip(names, bar, strict=True):
            packed.writestr(zipfile.ZipInfo(name), png)
        packed.writestr(zipfile.ZipInfo("train.csv"), _csv(("id", "label"), rows["train"]))
        blank = [(name, CLASSES[0]) for name, _ in rows["test"]]
        packed.writestr(zipfile.ZipInfo("sample_submission.csv"), _csv(("id", "label"), blank))


def _png(images: "np.ndarray") -> Iterator[bytes]:
    import cv2

    return (cv2.imencode(".png", image)[1].tobytes() for image in images)


def _csv(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return table.getvalue()


if __name__ == "__main__":
    cli.run(main)
