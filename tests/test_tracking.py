"""The W&B mirror, with the unmodified wandb client: against a stand-in server, offline, and with nothing that works."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest
from local_wandb import LocalWandb, serving

from competition.contest import Contest
from competition.images import Picture
from competition.rows.tables import Rows, load_train
from folds.store import Split, read_folds, write_folds
from pipeline import tracking
from pipeline.charts import draw_charts
from pipeline.ensemble import Ensemble, Options, fit_ensemble
from pipeline.findings import examine
from pipeline.mirror import track_ensemble
from pipeline.mistakes import read_mistakes, worst_mistakes
from pipeline.run import Run
from pipeline.summary import track_summary, write_mistakes
from tests.support import CLASSES, make_contest, make_run

KEY = "0123456789" * 4
INSPECTABLE = tuple(map(int, version("wandb").split(".")[:2])) >= (0, 31)

# wandb leaves its folders for temporary media to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")


@pytest.fixture(autouse=True)
def fresh_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings and no key but the test's own, and a wandb that reads them anew."""
    for name in [*(name for name in os.environ if name.startswith("WANDB_")), "http_proxy", "HTTP_PROXY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    for name in ("WANDB_DATA_DIR", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):  # tracking sets them: put back afterwards
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    tracking._say.cache_clear()
    monkeypatch.setattr(tracking, "_lost", [])
    forget_settings()  # of tests in other files
    yield
    tracking.settle()
    forget_settings()


def forget_settings() -> None:
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalWandb]:
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield server


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)


@contextmanager
def mirror(mode: str, folder: Path, fold: int = 0) -> Iterator[tracking.NullTracker]:
    """A fold's mirror; after the block, all that could be mirrored is."""
    try:
        with unsettled(mode, folder, fold) as tracker:
            yield tracker
    finally:
        tracking.settle()


def unsettled(mode: str, folder: Path, fold: int = 0):
    return tracking.track(
        mode,
        project="contest",
        group="cnn",
        job_type="fold",
        run_id=f"cnn-f{fold}",
        name=f"cnn fold {fold}",
        tags=["cv"],
        config={"fold": fold, "optimizer": {"lr": 0.001}},
        folder=folder,
    )


def log_epochs(tracker: tracking.NullTracker, epochs: int = 3) -> None:
    for epoch in range(epochs):
        tracker.log({"epoch": epoch, "train/loss": 1.0 / (epoch + 1), "val/accuracy": (0.5, 0.7, 0.6)[epoch]})


def wandb_cli(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "wandb", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_png(encoded: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)


def offline_run(folder: Path) -> Path:
    (run,) = (folder / "wandb").glob("offline-run-*")
    return run


def test_online_everything_arrives_and_the_key_is_never_shown(
    server: LocalWandb, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mode, reason = tracking.resolve_mode("auto")
    assert mode == "online", reason
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    file = tmp_path / "oof.npz"
    file.write_bytes(b"predictions")

    with mirror(mode, tmp_path) as tracker:
        log_epochs(tracker)
        tracker.confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), ("cat", "dog"))
        tracker.table("mistakes", ["id", "probability"], [["a", 0.4]])
        tracker.picture("worst", picture)
        tracker.gallery("gallery", [np.full((8, 8, 3), (9, 0, 1), np.uint8)] * 2, ["first", "second"])
        tracker.artifact(file, "cnn-oof", "predictions")
        tracker.summarise({"cv/accuracy": 0.6, "selected_on_oof": False})
    with mirror(mode, tmp_path, fold=1) as tracker:
        log_epochs(tracker)

    run = server.runs["cnn-f0"]
    assert (run.project, run.group, run.job_type, run.name, run.tags) == (
        "contest",
        "cnn",
        "fold",
        "cnn fold 0",
        ["cv"],
    )
    assert run.config["fold"] == 0
    assert run.config["optimizer"] == {"lr": 0.001}
    assert [row["val/accuracy"] for row in run.history if "val/accuracy" in row] == [0.5, 0.7, 0.6]
    assert [row["epoch"] for row in run.history if "train/loss" in row] == [0, 1, 2]
    assert run.summary["val/accuracy"] == {"max": 0.7, "last": 0.6}
    assert run.summary["cv/accuracy"] == 0.6
    assert run.summary["selected_on_oof"] is False
    assert run.summary["mistakes"]["nrows"] == 1
    assert run.summary["worst"]["format"] == "png"
    assert run.summary["gallery"]["captions"] == ["first", "second"]
    stored = server.stored[f"cnn-f0/{run.summary['gallery']['filenames'][0]}"]
    assert (read_png(stored) == (9, 0, 1)).all()  # dark pixels stay as they are
    assert "confusion" in run.config["_wandb"]["visualize"]
    assert run.exit_code == 0
    assert server.artifacts["cnn-oof"] == "predictions"
    assert server.stored["cnn-oof/oof.npz"] == b"predictions"
    assert server.runs["cnn-f1"].group == "cnn"
    assert len(server.runs["cnn-f1"].history) == 3

    shown = capfd.readouterr()
    assert f"{server.url}/local/contest/runs/cnn-f0" in shown.err
    assert KEY not in shown.out + shown.err + reason


@pytest.fixture
def with_mistakes(tmp_path: Path) -> tuple[Contest, Run, Rows, Split]:
    """A finished run on six images: cat dog owl cat dog owl, all predicted as dogs, less and less surely."""
    contest = make_contest(tmp_path / "contest", n_train=6, n_test=3).contest()
    rows = load_train(contest)
    write_folds(contest, rows, np.arange(6) % 3)
    split = read_folds(contest, rows)
    dog = np.array([0.6, 0.9, 0.8, 0.7, 0.5, 0.6])
    probabilities = np.stack([(1 - dog) / 4, dog, (1 - dog) * 3 / 4], axis=1)
    return contest, make_run(contest, rows, split, "cnn", [0.0, 1.0, 0.0], probabilities), rows, split


def test_the_summary_shows_the_worst_mistakes_in_order(
    server: LocalWandb, with_mistakes: tuple[Contest, Run, Rows, Split]
) -> None:
    contest, run, rows, split = with_mistakes
    track_summary("online", contest, run, rows, split)
    tracking.settle()
    (summary,) = server.runs.values()
    panel = summary.summary["worst_mistakes"]
    assert panel["captions"] == [  # the two dogs are right; of two equally sure ones the first row's is first
        "true owl (15.0%), predicted dog (80.0%), id train002",
        "true cat (7.5%), predicted dog (70.0%), id train003",
        "true cat (10.0%), predicted dog (60.0%), id train000",
        "true owl (30.0%), predicted dog (60.0%), id train005",
    ]
    run_id = next(iter(server.runs))
    shown = [read_png(server.stored[f"{run_id}/{name}"]) for name in panel["filenames"]]
    files = [cv2.imread(str(rows.images[i].path), cv2.IMREAD_COLOR_RGB) for i in (2, 3, 0, 5)]
    assert all((image == file).all() for image, file in zip(shown, files, strict=True))
    assert "confusion" in summary.config["_wandb"]["visualize"]


def test_a_run_named_by_its_settings_is_mirrored_with_its_files(
    server: LocalWandb, with_mistakes: tuple[Contest, Run, Rows, Split]
) -> None:
    contest, cnn, rows, split = with_mistakes
    probabilities = cnn.oof(rows, split, contest.classes).probabilities
    run = make_run(contest, rows, split, "lr=0.1,ema=0.9-s0", [0.0, 1.0, 0.0], probabilities, ema=0.9)
    track_summary("online", contest, replace(run, sweep="ema-lr"), rows, split)
    tracking.settle()
    (summary,) = server.runs.values()
    assert summary.group == "lr=0.1,ema=0.9-s0" and summary.exit_code == 0
    assert "sweep:ema-lr" in summary.tags and summary.config["sweep"] == "ema-lr"
    assert set(server.artifacts) >= {f"lr-0.1-ema-0.9-s0-f{k}-oof" for k in range(3)}


def mirrored_ensemble(mode: str, with_mistakes: tuple[Contest, Run, Rows, Split]) -> tuple[Ensemble, Path]:
    """An ensemble that is on disk, and then mirrored."""
    contest, run, rows, split = with_mistakes
    ensemble = fit_ensemble(contest, [run], rows, split, Options("best"))
    folder = contest.ensembles / "a blend"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("oof.npz", "submission.csv"):
        (folder / name).write_text(name)
    findings = examine(contest, ensemble, rows)
    track_ensemble(mode, contest, ensemble, findings, draw_charts(contest, ensemble, findings), folder)
    tracking.settle()
    return ensemble, folder


@pytest.fixture
def good_guesses(with_mistakes: tuple[Contest, Run, Rows, Split]) -> tuple[Contest, Run, Rows, Split]:
    """A run on the same images that is right but for the last one."""
    contest, _, rows, split = with_mistakes
    probabilities = np.eye(3)[[0, 1, 2, 0, 1, 0]] * 0.7 + 0.1
    return contest, make_run(contest, rows, split, "good", [1.0, 1.0, 0.5], probabilities), rows, split


def test_an_ensemble_is_one_run_however_often_it_is_made(
    server: LocalWandb, good_guesses: tuple[Contest, Run, Rows, Split]
) -> None:
    for _ in range(2):
        ensemble, _ = mirrored_ensemble("online", good_guesses)
    ((run_id, run),) = server.runs.items()
    assert run_id == f"a-blend-{good_guesses[3].sha256[:8]}-ensemble"
    assert (run.group, run.job_type, run.name, run.exit_code) == ("ensembles", "ensemble", "a-blend", 0)
    assert run.config["weights"] == {"good": 1.0} and run.config["options"]["method"] == "best"
    assert run.summary["nested/accuracy"] == ensemble.honest.score and run.summary["method"] == "best"
    assert run.summary["verdict"] == ensemble.evidence.verdict and run.summary["gain"] == ensemble.evidence.gain
    assert run.summary["worst_mistakes"]["captions"] == ["true owl (10.0%), predicted cat (80.0%), id train005"]
    chart = read_png(server.stored[f"{run_id}/{run.summary['charts/confusion']['filenames'][0]}"])
    assert chart.shape[0] > 200 and (chart[0, 0] == 255).all()
    assert server.artifacts == {"a-blend-oof": "oof", "a-blend-submission": "submission"}
    assert server.stored["a-blend-submission/submission.csv"] == b"submission.csv"


@pytest.mark.parametrize("mode", ["offline", "disabled", "online"])
@pytest.mark.usefixtures("closed_port")
def test_an_ensemble_survives_a_missing_mirror(mode: str, good_guesses: tuple[Contest, Run, Rows, Split]) -> None:
    _, folder = mirrored_ensemble(mode, good_guesses)
    assert {path.name for path in folder.iterdir()} == {"oof.npz", "submission.csv"}
    assert (good_guesses[0].runs / "wandb").is_dir() == (mode != "disabled")


@pytest.mark.parametrize("mode", ["offline", "disabled", "online"])
@pytest.mark.usefixtures("closed_port")
def test_the_summary_survives_a_missing_mirror_and_the_grid_is_drawn(
    mode: str, with_mistakes: tuple[Contest, Run, Rows, Split]
) -> None:
    contest, run, rows, split = with_mistakes
    track_summary(mode, contest, run, rows, split)
    picture = cv2.imread(str(write_mistakes(contest, run, rows, split)))
    assert picture.shape[0] > 300 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_images_of_several_sizes_are_shown_whole_on_one_ground(tmp_path: Path) -> None:
    sizes = [(20, 10), (10, 40), (1024, 256)]
    for i, size in enumerate(sizes):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((*size, 3), 200, np.uint8))
    pictures = tuple(Picture((tmp_path / f"{i}.png",)) for i in range(3))
    rows = Rows(np.array(list("abc")), pictures, np.arange(3), np.zeros(3, np.int64))
    probabilities = np.array([[0.1, 0.9, 0], [0.2, 0.8, 0], [0.3, 0.7, 0]])
    images = read_mistakes(worst_mistakes(rows, probabilities, CLASSES))
    assert [image.shape for image in images] == [(512, 128, 3)] * 3
    assert [(image == 200).all(axis=2).sum() for image in images] == [20 * 10, 10 * 40, 512 * 128]
    assert read_mistakes([]) == [] == worst_mistakes(rows, np.eye(3)[[0, 0, 0]], CLASSES)


def test_exception_in_the_block_marks_the_run_as_failed(server: LocalWandb, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), mirror("online", tmp_path) as tracker:
        log_epochs(tracker, 1)
        raise ZeroDivisionError
    assert server.runs["cnn-f0"].exit_code == 1
    assert len(server.runs["cnn-f0"].history) == 1


@pytest.mark.skipif(not INSPECTABLE, reason="wandb leet inspect --json came with wandb 0.31")
def test_offline_run_is_readable_and_can_be_uploaded_later(
    server: LocalWandb, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with mirror("offline", tmp_path) as tracker:
        log_epochs(tracker)
    assert server.runs == {}
    run = offline_run(tmp_path)
    assert f"wandb sync {tmp_path}/wandb/offline-run-*" in capfd.readouterr().err

    records = [json.loads(line) for line in wandb_cli("leet", "inspect", "--json", run).splitlines()]
    (started,) = (record["run"] for record in records if record["type"] == "run")
    assert (started["run_group"], started["job_type"], started["run_id"]) == ("cnn", "fold", "cnn-f0")
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [(row["epoch"], row["val/accuracy"]) for row in rows] == [(0, 0.5), (1, 0.7), (2, 0.6)]

    wandb_cli("sync", run)
    assert server.runs["cnn-f0"].group == "cnn"
    assert len(server.runs["cnn-f0"].history) == 3
    assert server.runs["cnn-f0"].exit_code == 0


def test_all_files_of_wandb_are_below_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.chdir(home)
    file = tmp_path / "oof.npz"
    file.write_bytes(b"predictions")
    with mirror("offline", tmp_path / "run") as tracker:
        tracker.artifact(file, "cnn-oof", "predictions")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["wandb"]
    assert any((tmp_path / "run" / "wandb" / "staged").rglob("tmp*"))
    assert {path.suffix for path in home.rglob("*") if path.is_file()} <= {".log"}  # of wandb's service


@pytest.mark.usefixtures("closed_port")
def test_without_network_runs_are_offline_within_seconds(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    mode, reason = tracking.resolve_mode("online")
    assert mode == "offline"
    assert "cannot be reached" in reason
    with mirror("online", tmp_path) as tracker:  # the network went away after resolve_mode
        log_epochs(tracker)
    assert time.monotonic() - start < 10
    assert "no online mirror" in capfd.readouterr().err
    assert offline_run(tmp_path)


def test_a_server_that_refuses_means_offline(
    server: LocalWandb, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.refuses = 401
    with mirror("online", tmp_path) as tracker:
        log_epochs(tracker)
    assert "CommError" in capfd.readouterr().err
    assert offline_run(tmp_path)


def test_a_server_lost_half_way_does_not_stop_the_block(
    server: LocalWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "FINISH_TIMEOUT", 1.0)
    with mirror("online", tmp_path) as tracker:
        tracking.settle()
        server.refuses = 503
        log_epochs(tracker)
    (left,) = (tmp_path / "wandb").glob("run-*/run-cnn-f0.wandb")
    assert b"val/accuracy" in left.read_bytes()
    assert f"wandb sync --include-online {left.parent}" in capfd.readouterr().err
    with mirror("online", tmp_path):  # the next fold does not wait once more
        pass
    assert "offline from now on" in capfd.readouterr().err


def test_nobody_waits_for_a_server_that_is_silent_from_the_start(server: LocalWandb, tmp_path: Path) -> None:
    server.answers.clear()
    for fold in (0, 1):
        with unsettled("online", tmp_path, fold) as tracker:
            log_epochs(tracker)
    assert server.runs == {}  # both blocks are over, and it has not said a word
    server.answers.set()
    tracking.settle()
    assert [len(server.runs[f"cnn-f{fold}"].history) for fold in (0, 1)] == [3, 3]


def test_an_exception_of_wandb_is_reported_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with mirror("offline", tmp_path) as tracker:
        for _ in range(3):
            tracker.picture("worst", tmp_path / "missing.png")
        log_epochs(tracker)
    assert capfd.readouterr().err.count("no longer mirrored") == 1


def test_auto_without_a_key_is_offline_and_says_so() -> None:
    mode, reason = tracking.resolve_mode("auto")
    assert mode == "offline"
    assert "no API key" in reason


def test_key_from_netrc_counts(server: LocalWandb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    netrc = Path(os.environ["NETRC"])
    netrc.write_text(f"machine {server.url.removeprefix('http://')}\n  login user\n  password {KEY}\n")
    assert tracking.resolve_mode("auto")[0] == "online"


@pytest.mark.parametrize("key", ["short", KEY + " "])
@pytest.mark.usefixtures("closed_port")
def test_a_malformed_key_is_not_shown(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    mode, reason = tracking.resolve_mode("auto")
    assert mode != "online"
    with mirror("online", tmp_path) as tracker:
        log_epochs(tracker)
    shown = capfd.readouterr()
    assert key not in shown.out + shown.err + reason


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("told", ["offline", "disabled"])
def test_what_the_user_told_wandb_holds(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", told)
    assert tracking.resolve_mode("auto")[0] == told
    assert tracking.resolve_mode("disabled")[0] == "disabled"
    mode, reason = tracking.resolve_mode("online")
    assert mode == "offline"
    assert "WANDB_MODE" in reason


@pytest.mark.usefixtures("server")
def test_auto_follows_wandb_offline() -> None:
    settings = Path(os.environ["WANDB_CONFIG_DIR"]) / "settings"
    settings.parent.mkdir()
    settings.write_text("[default]\nmode = offline\n")
    assert tracking.resolve_mode("auto") == ("offline", "W&B: offline, as `wandb offline` has set it")


def test_a_connection_that_hangs_counts_as_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()

    def hang(*_: object) -> None:
        over.wait(10)
        raise TimeoutError

    monkeypatch.setattr(tracking, "CONNECT_TIMEOUT", 0.1)
    monkeypatch.setattr(tracking, "create_connection", hang)
    start = time.monotonic()
    assert not tracking._reachable("https://api.wandb.ai")
    assert time.monotonic() - start < 2
    over.set()


def test_behind_a_proxy_the_proxy_has_to_be_reachable(server: LocalWandb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", server.url)
    assert tracking._reachable("https://w-and-b.invalid")
    monkeypatch.setenv("no_proxy", "w-and-b.invalid")
    assert not tracking._reachable("https://w-and-b.invalid")


def test_disabled_never_imports_wandb(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from pipeline.tracking import resolve_mode, track

mode, _ = resolve_mode("disabled")
settings = dict(project="p", group="g", job_type="fold", run_id="r", name="n", tags=[], config={})
with track(mode, **settings, folder=Path(sys.argv[1])) as tracker:
    tracker.log({"epoch": 0})
    tracker.summarise({"a": 1})
    tracker.confusion_matrix([0], [0], ["a"])
    tracker.table("t", ["a"], [[1]])
    tracker.picture("p", Path("missing.png"))
    tracker.gallery("g", [], [])
    tracker.artifact(Path("missing.npz"), "a", "predictions")
assert "wandb" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code, tmp_path], check=True, cwd=Path(__file__).parent.parent)
    assert not list(tmp_path.iterdir())


def test_without_wandb_the_mirror_is_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    mode, reason = tracking.resolve_mode("auto")
    assert mode == "disabled"
    assert "cannot be imported" in reason
    with mirror("online", tmp_path) as tracker:
        log_epochs(tracker)
    monkeypatch.delitem(sys.modules, "wandb")
