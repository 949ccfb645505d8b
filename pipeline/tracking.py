"""The mirror of a run in Weights & Biases.

The files in the run's folder are the truth, and are written without it. So nothing here ever stops a training: W&B
absent, not logged in, unreachable or lost half-way means an offline mirror or none, and a message on stderr says so.
Nor does it slow one down: a thread of its own does all the talking, one run after the other, and only the end of the
process waits for it.
"""

import functools
import os
import re
import shlex
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import create_connection
from threading import Thread
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from competition.metrics import METRICS

CONNECT_TIMEOUT = 2.0  # seconds until the W&B host counts as unreachable
INIT_TIMEOUT = 10.0  # … until a host that accepts connections but never answers does
FINISH_TIMEOUT = 15.0  # … that the upload at a run's end may take; the rest waits on disk for `wandb sync`

_lost: list[str] = []  # runs of this process that W&B kept waiting or let down
_thread = ThreadPoolExecutor(1, "wandb")  # what was handed to it is done before the interpreter ends


class NullTracker:
    """Mirrors nothing."""

    def log(self, row: dict[str, float]) -> None:
        pass

    def summarise(self, values: dict[str, float | str | bool]) -> None:
        pass

    def confusion_matrix(self, labels: Sequence[int], predicted: Sequence[int], classes: Sequence[str]) -> None:
        pass

    def table(self, name: str, columns: list[str], rows: list[list[object]]) -> None:
        pass

    def picture(self, name: str, png_path: Path) -> None:
        pass

    def gallery(self, name: str, images: Sequence[np.ndarray], captions: Sequence[str]) -> None:
        pass

    def artifact(self, path: Path, name: str, type: str) -> None:
        pass

    def finish(self, exit_code: int) -> None:
        pass


def _guarded(method: Callable[..., None]) -> Callable[..., None]:
    """Report the first exception that W&B raises, and mirror nothing more after it."""

    @functools.wraps(method)
    def guarded(self: "Tracker", *args: Any, **kwargs: Any) -> None:
        if self.broken:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.broken = True
            where = shlex.quote(str(Path(self.run.dir).parent))
            _say(
                f"W&B: {self.run.name} is no longer mirrored, because {_reason(error)}. "
                f"To upload what is on disk: wandb sync --include-online {where}"
            )

    return guarded


class Tracker(NullTracker):
    """Mirrors one run: a W&B run, online or offline, that `finish` has to end. Waits for W&B."""

    def __init__(self, wandb: ModuleType, run: Any):
        self.wandb, self.run, self.broken = wandb, run, False
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        larger_is_better = {"loss": False} | {name: metric.maximize for name, metric in METRICS.items()}
        for name, maximize in larger_is_better.items():
            run.define_metric(f"val/{name}", step_metric="epoch", summary=f"{'max' if maximize else 'min'},last")

    @_guarded
    def log(self, row: dict[str, float]) -> None:
        """Mirror one epoch's row: "epoch", "train/loss", "val/loss", "val/<metric>", …"""
        self.run.log(row)  # step= would hold the last row back

    @_guarded
    def summarise(self, values: dict[str, float | str | bool]) -> None:
        """Set values that stand for the whole run."""
        self.run.summary.update(values)

    @_guarded
    def confusion_matrix(self, labels: Sequence[int], predicted: Sequence[int], classes: Sequence[str]) -> None:
        """Mirror a confusion matrix of class indices as the chart "confusion"."""
        matrix = self.wandb.plot.confusion_matrix(
            y_true=list(labels), preds=list(predicted), class_names=list(classes), title="confusion"
        )
        self.run.log({"confusion": matrix})

    @_guarded
    def table(self, name: str, columns: list[str], rows: list[list[object]]) -> None:
        self.run.log({name: self.wandb.Table(columns=columns, data=rows)})

    @_guarded
    def picture(self, name: str, png_path: Path) -> None:
        self.run.log({name: self.wandb.Image(str(png_path))})

    @_guarded
    def gallery(self, name: str, images: Sequence[np.ndarray], captions: Sequence[str]) -> None:
        """Mirror images (H, W, 3) uint8 of one size as one panel to leaf through, each with its caption."""
        pairs = zip(images, captions, strict=True)
        self.run.log({name: [self.wandb.Image(image, mode="RGB", caption=caption) for image, caption in pairs]})

    @_guarded
    def artifact(self, path: Path, name: str, type: str) -> None:
        """Upload a file. Runs of a project share artifact names: the same name again is a new version."""
        artifact = self.wandb.Artifact(re.sub(r"[^A-Za-z0-9._-]", "-", name), type)  # what W&B allows there
        artifact.add_file(str(path), skip_cache=True)  # one copy waits in the run's folder, none in the user's home
        self.run.log_artifact(artifact)

    def finish(self, exit_code: int) -> None:
        self.broken = False  # a run that is not ended would be returned by the next init
        self._finish(exit_code)
        if self.broken:
            _stop_service()
            _lost.append(self.run.name)

    @_guarded
    def _finish(self, exit_code: int) -> None:
        self.run.finish(exit_code=exit_code)


def _handed_over(name: str) -> Callable[..., None]:
    def hand_over(self: "Mirror", *args: Any, **kwargs: Any) -> None:
        _thread.submit(lambda: getattr(self.tracker.result(), name)(*args, **kwargs))

    return hand_over


class Mirror(NullTracker):
    """Starts a tracker and hands every call on to it, in the thread of W&B: returns at once, whatever W&B does.

    Arrays and files must not change afterwards: they may be read later.
    """

    def __init__(self, mode: str, settings: dict[str, Any], folder: Path):
        self.tracker = _thread.submit(_start, mode, settings, folder)

    log = _handed_over("log")
    summarise = _handed_over("summarise")
    confusion_matrix = _handed_over("confusion_matrix")
    table = _handed_over("table")
    picture = _handed_over("picture")
    gallery = _handed_over("gallery")
    artifact = _handed_over("artifact")
    finish = _handed_over("finish")


def settle() -> None:
    """Wait until everything handed over so far is with W&B, or given up."""
    _thread.submit(lambda: None).result()


def resolve_mode(asked: str) -> tuple[str, str]:
    """Decide how to mirror runs on this machine, now.

    Args:
        asked: "online", "offline", "disabled", or "auto": what the user told wandb (WANDB_MODE, `wandb offline`), else
            online where that works.

    Returns:
        mode: "online", "offline" or "disabled".
        reason: one line for the user.
    """
    told = os.environ.get("WANDB_MODE") if asked == "auto" else asked
    if told in ("offline", "disabled"):
        return told, f"W&B: {told}, as asked"
    try:
        wandb = _import_wandb()
        configured = wandb.setup().settings.mode
    except ImportError as error:
        return "disabled", f"W&B: disabled, because wandb cannot be imported ({_reason(error)})"
    except Exception as error:
        return "disabled", f"W&B: disabled, because its settings are wrong ({_reason(error)})"
    if asked == "auto" and configured in ("offline", "disabled"):
        return configured, f"W&B: {configured}, as `wandb {configured}` has set it"
    try:
        _check_online(wandb)
    except Exception as error:
        return "offline", f"W&B: offline, because {_reason(error)}"
    return "online", f"W&B: online, at {wandb.setup().settings.app_url}"


@contextmanager
def track(
    mode: str,
    *,
    project: str,
    group: str,
    job_type: str,
    run_id: str,
    name: str,
    tags: list[str],
    config: dict[str, object],
    folder: Path,
) -> Iterator[NullTracker]:
    """Mirror what happens inside the block as one W&B run; an exception marks it as failed and goes on.

    Args:
        mode: from `resolve_mode`. An online run that cannot start becomes an offline one.
        project: W&B project: the contest.
        group: what W&B groups by: the run, so that its folds and its summary stay together.
        job_type: "fold" or "summary".
        run_id: unique in the project. The same id again continues that run.
        name: shown in W&B.
        tags, config: shown in W&B, and usable to filter and group.
        folder: wandb's own files go to `folder`/wandb.
    """
    its_id = re.sub("[:;,#?/']", "-", run_id)  # what W&B refuses there; a run's name may have a comma
    settings = {"project": project, "group": group, "job_type": job_type, "id": its_id, "name": name}
    if mode == "disabled":
        yield NullTracker()
        return
    tracker = Mirror(mode, settings | {"tags": tags, "config": config}, folder.resolve())
    try:
        yield tracker
    except BaseException:
        tracker.finish(exit_code=1)
        raise
    tracker.finish(exit_code=0)


def _start(mode: str, settings: dict[str, Any], folder: Path) -> NullTracker:
    if mode == "online" and _lost:  # waiting for each fold anew would keep the process from ending
        _say("W&B: offline from now on")
        mode = "offline"
    for attempt in (mode, "offline"):
        try:
            return _init(attempt, settings, folder)
        except Exception as error:
            _say(f"W&B: no {attempt} mirror, because {_reason(error)}")
            _stop_service()
            _lost.append(settings["name"])
    return NullTracker()


def _init(mode: str, settings: dict[str, Any], folder: Path) -> Tracker:
    wandb = _import_wandb()
    if mode == "online":
        _check_online(wandb)  # once more: init itself would try for half a minute
    folder.mkdir(parents=True, exist_ok=True)
    # Where tables and artifacts wait to be uploaded; the default is in the user's home.
    os.environ["WANDB_DATA_DIR"] = str(folder / "wandb" / "staged")
    wanted = {
        "init_timeout": INIT_TIMEOUT,
        "finish_timeout": FINISH_TIMEOUT,
        "finish_timeout_raises": True,  # silent, it would not say that something waits for `wandb sync`
        "console": "off",
        "silent": True,
        "save_code": False,
        "disable_code": True,
        "disable_git": True,
        "x_transaction_log_flush_interval": 1,  # a killed process then loses one row, not 15 seconds of them
    }
    # Some of these are younger than the oldest wandb that is good enough.
    how = wandb.Settings(**{name: value for name, value in wanted.items() if name in wandb.Settings.model_fields})
    run = wandb.init(mode=mode, dir=folder, resume="allow", settings=how, **settings)
    if mode == "online":
        _say(f"W&B: {run.name} is at {run.url}")
    else:
        _say(f"W&B: to upload later: wandb sync {shlex.quote(str(folder / 'wandb'))}/offline-run-*")
    return Tracker(wandb, run)


def _stop_service() -> None:
    """End wandb's background process: it may be dead, and after an init that failed it calls the run's id taken."""
    with suppress(Exception):
        _import_wandb().teardown()


def _import_wandb() -> ModuleType:
    """Import wandb (a second or two), silent, and without its habit of reporting its own errors over the network."""
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb


class _NotOnlineError(Exception):
    """Why a run cannot be online, in words for the user."""


def _check_online(wandb: ModuleType) -> None:
    configured = wandb.setup().settings.mode
    if configured in ("offline", "disabled"):
        raise _NotOnlineError(f"wandb itself is set to {configured} (by WANDB_MODE or `wandb {configured}`)")
    if not wandb.login(prompt=False, verify=False):
        raise _NotOnlineError("no API key is configured (wandb login)")
    host = wandb.setup().settings.base_url
    if not _reachable(host):
        raise _NotOnlineError(f"{host} cannot be reached")


def _reachable(url: str) -> bool:
    """Whether the host of `url`, or the proxy before it, accepts a connection within CONNECT_TIMEOUT."""
    target = urlsplit(url)
    proxy = urllib.request.getproxies().get(target.scheme)
    if proxy and not urllib.request.proxy_bypass(target.netloc):
        target = urlsplit(proxy)
    answer: SimpleQueue[bool] = SimpleQueue()

    def connect() -> None:
        try:
            port = target.port or (443 if target.scheme == "https" else 80)
            create_connection((target.hostname, port), CONNECT_TIMEOUT).close()
            answer.put(True)
        except OSError:
            answer.put(False)

    Thread(target=connect, daemon=True).start()  # a name look-up has no timeout of its own
    try:
        return answer.get(timeout=CONNECT_TIMEOUT)
    except Empty:
        return False


@functools.cache
def _say(message: str) -> None:
    """Print a message on stderr; the same one only once, however many folds run into it."""
    print(message, file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    """An error's first line: in the further ones wandb's settings errors quote the value, which may be the API key."""
    return str(error) if isinstance(error, _NotOnlineError) else f"{type(error).__name__}: {error}".splitlines()[0]
