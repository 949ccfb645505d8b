"""`python -m competition check`: reads every table and decodes every image once, before a training depends on them."""

import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from competition.contest import Contest
from competition.images import fingerprint, read_images
from competition.sample import read_sample
from competition.tables import Rows, load_holdout, load_test, load_train


def check(contest: Contest) -> None:
    """Print counts per class, image sizes and duplicate images. Raises DataError at the first bad row or image."""
    tables = {"train": load_train(contest), "holdout": load_holdout(contest), "test": load_test(contest)}
    _check_sample(contest)
    prints = {}
    for name, rows in tables.items():
        if rows is not None:
            prints[name] = _check_images(contest, name, rows)
    _print_duplicates(prints["train"], {name: found for name, found in prints.items() if name != "train"})


def _check_sample(contest: Contest) -> None:
    print(f"sample    {len(read_sample(contest).lines)} lines to submit")


def _check_images(contest: Contest, name: str, rows: Rows) -> list[str]:
    """Print what one table holds; return its images' fingerprints."""
    print(f"{name:<9} {len(rows)} rows")
    if rows.labels is not None:
        counts = np.bincount(rows.labels, minlength=len(contest.spec.target.classes))
        print(
            "  classes "
            + ", ".join(f"{label} {n}" for label, n in zip(contest.spec.target.classes, counts, strict=True))
        )
    prints, sizes = [], Counter()
    for image in tqdm(
        read_images(rows.images), total=len(rows), desc=name, leave=False, disable=not sys.stderr.isatty()
    ):
        prints.append(fingerprint(image))
        sizes[image.shape[1::-1]] += 1
    common = ", ".join(f"{width}×{height} ({n})" for (width, height), n in sizes.most_common(5))
    print(
        f"  images  all decoded; width×height {common}"
        + (f" and {len(sizes) - 5} other sizes" if len(sizes) > 5 else "")
    )
    return prints


def _print_duplicates(train: Sequence[str], others: dict[str, list[str]]) -> None:
    print(f"duplicate images: {len(train) - len(set(train))} within train", end="")
    for name, prints in others.items():
        print(f", {len(set(train) & set(prints))} in both train and {name}", end="")
    print()
