"""A contest's data from Kaggle: fetched whole, checked, unpacked in one step."""

import json
import shutil
import sys
import time
from pathlib import Path

from tqdm import tqdm

from competition.contest import Contest
from competition.errors import DataError, KaggleError
from competition.kaggle.archive import DISK_RESERVE, CorruptArchive, unpack
from competition.kaggle.command import ask_kaggle, run_kaggle
from competition.kaggle.patience import PassingError, pause
from competition.locks import locked
from competition.made_up import refuse_made_up

# The CLI waits 300 s for each mebibyte, but a line so slow that not one arrives in this time is as good as dead.
STALLED = 600.0


def download(contest: Contest) -> None:
    """Fetch the contest's archive with the kaggle CLI and unpack it as `contest.data`; do nothing where that is there.

    Raises KaggleError and DataError as `fetch_data`, and DataError when it holds other tables than the spec names.
    """
    refuse_made_up(contest)
    n = fetch_data(contest)
    check_tables(contest)
    if n is None:
        print(f"{contest.data} is already there; nothing to download. (To fetch it again, delete that folder first.)")
    else:
        print(f"{contest.data}: {n} files")


def fetch_data(contest: Contest) -> int | None:
    """The same, whatever the spec says of the files; of it, only the name on Kaggle is used.

    Returns the number of files; None where the folder was there already.

    An interrupted download is resumed, an interrupted unpacking done again, a damaged archive fetched a second time.

    Raises:
        KaggleError: Kaggle refuses, cannot be reached, or sends a damaged archive twice.
        DataError: the archive is hostile or does not fit on the disk.
    """
    folder = contest.data.parent / ".downloads" / contest.spec.kaggle
    waiting = f"another download of {contest.spec.kaggle} is running; waiting for it"
    with locked(folder.with_name(f"{folder.name}.lock"), waiting):
        if contest.data.exists() and any(contest.data.iterdir()):
            return None
        n = _fetch_and_unpack(contest, folder / f"{contest.spec.kaggle}.zip")
        shutil.rmtree(folder)  # the unpacked copy is enough
    return n


def check_tables(contest: Contest) -> None:
    """Raises DataError when a table that the spec names is not in the data folder."""
    spec = contest.spec
    sources = [source for source in spec.sources if source is not spec.holdout or not spec.holdout.optional]
    for table in [*(source.table for source in sources if source.table), spec.submission.sample]:
        if not (contest.data / table).is_file():
            found = sorted(path.name + "/" * path.is_dir() for path in contest.data.iterdir())
            listing = ", ".join(found[:12]) + (", …" if len(found) > 12 else "")
            raise DataError(
                f"{contest.data / table}, named by the spec of {spec.slug}, is not there; the folder holds: {listing}. "
                "Correct the spec's paths; or delete the folder, if its content is wrong, and download it again."
            )


def _fetch_and_unpack(contest: Contest, archive: Path) -> int:
    """Returns the number of files unpacked."""
    try:
        return _fetch_and_unpack_once(contest, archive)
    except CorruptArchive as error:
        # The CLI can append an error page to a resumed file, and call that a success.
        print(f"{error}\nfetching it once more", file=sys.stderr)
    try:
        return _fetch_and_unpack_once(contest, archive)
    except CorruptArchive as error:
        raise KaggleError(
            f"{error}. It arrived damaged twice; check the disk and the proxy, then try again later."
        ) from error


def _fetch_and_unpack_once(contest: Contest, archive: Path) -> int:
    if not _whole(archive):
        _fetch(contest, archive)
    try:
        return unpack(archive, contest.data)
    except CorruptArchive:
        archive.unlink()
        raise


def _marker(archive: Path) -> Path:
    """The file that the CLI keeps beside an unfinished download, which already has its final name."""
    return archive.with_name(archive.name + ".kaggle-partial")


def _whole(archive: Path) -> bool:
    return archive.is_file() and not _marker(archive).exists()


def _size(archive: Path) -> int:
    return archive.stat().st_size if archive.exists() else 0


def _fetch(contest: Contest, archive: Path) -> None:
    """Download the archive, going on as long as each attempt brings more of it."""
    slug = contest.spec.kaggle
    archive.parent.mkdir(parents=True, exist_ok=True)
    print(f"downloading {archive.name}", flush=True)
    attempt = 0
    while True:
        # A small question first: its answer tells why Kaggle refuses, and how long it wants to be left alone.
        ask_kaggle(contest.spec, "competitions", "files", slug, "--csv", "-q")
        before = _size(archive)
        try:
            _fetch_once(contest, archive)
            return
        except PassingError as error:
            attempt = 1 if _size(archive) > before else attempt + 1
            pause(error, attempt)


def _fetch_once(contest: Contest, archive: Path) -> None:
    slug = contest.spec.kaggle
    with _Growth(archive) as growth:
        # No time limit: a contest may have 100 GB. `growth` ends a transfer that has come to a standstill.
        said = run_kaggle(
            contest.spec,
            "competitions",
            "download",
            slug,
            "-p",
            str(archive.parent),
            "-q",
            timeout=None,
            watch=growth.watch,
        )
    if "cancelled" in said:
        raise KaggleError(f"the download of {slug} was cancelled; run the same command again, it resumes")
    if not _whole(archive):
        # The CLI may take an unfinished file for a finished one, and would do so for ever.
        archive.unlink(missing_ok=True)
        _marker(archive).unlink(missing_ok=True)
        raise PassingError(f"the kaggle CLI ended without downloading {slug}. Run the command again.")
    if growth.expected is not None and _size(archive) != growth.expected:
        size = _size(archive)
        archive.unlink()
        raise PassingError(f"{archive} has {size} bytes, Kaggle announced {growth.expected}. Run the command again.")


class _Growth:
    """A silent transfer, seen in its growing file: a bar on a terminal, else a line every 30 seconds.

    expected: the size in bytes that Kaggle announced; None until it is known.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._last_line = self._last_byte = time.monotonic()
        self._done = _size(archive)
        self.expected: int | None = None
        self._bar = tqdm(unit="B", unit_scale=True, desc="downloading", leave=False, disable=not sys.stderr.isatty())

    def __enter__(self) -> "_Growth":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def watch(self) -> None:
        """Show how much is there. Raises DataError when the disk cannot hold the rest, PassingError at a standstill."""
        done, now = _size(self._archive), time.monotonic()
        if done != self._done:
            self._done, self._last_byte = done, now
        elif now - self._last_byte > STALLED:
            raise PassingError(f"the download has stood still for {STALLED:.0f} s. Run the command again, it resumes.")
        if self.expected is None:
            self.expected = self._announced()
            self._check_disk()
        if not self._bar.disable:
            self._bar.total = self.expected
            self._bar.update(done - self._bar.n)
        elif now - self._last_line > 30:
            self._last_line = now
            print(f"  {done / 1e6:.0f} MB" + (f" of {self.expected / 1e6:.0f}" if self.expected else ""), flush=True)

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self._archive.parent).free
        if self.expected is not None and self.expected - self._done + DISK_RESERVE > free:
            raise DataError(
                f"{self._archive.parent}: the archive has {self.expected / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. "
                "Free some disk (unpacking needs as much again), or use --data on another."
            )

    def _announced(self) -> int | None:
        try:
            return json.loads(_marker(self._archive).read_text(encoding="utf-8"))["size"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not begun, just finished, or a server that does not tell
