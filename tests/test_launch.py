"""Folds trained elsewhere: side by side on this machine, by one command or several, whatever ends them."""

import io
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, Timer

import numpy as np
import pytest
import torch
from rich.console import Console

import launch.board
import launch.supervise
from competition.contest import open_contest
from competition.errors import SpecError
from competition.rows.tables import load_train
from folds.split import assign_folds, strata_of
from folds.store import read_folds, write_folds
from launch.board import LOOKS, Board
from launch.job import fold_task
from launch.local import Place, places, visible_cards
from launch.plan import PlannedRun
from launch.standing import Standing
from launch.supervise import report, supervise
from launch.tasks import Failure, FoldTask
from pipeline.run import HELD, Fold, Run, open_run
from pipeline.store import load_predictions
from tests.commands import ROOT, Command, children, holder, until
from tests.support import Tiny, make_contest, make_run

RECIPE = """
model: {name: plain_cnn_128}
augment: [{HorizontalFlip: {p: 0.5}}]
batch_size: 8
optimizer: {lr: 1e-3}
schedule: {epochs: 16}
"""
RECIPES = {
    "small": RECIPE,
    "doomed": RECIPE,
    "endless": RECIPE.replace("epochs: 16", "epochs: 100000"),
    "wild": RECIPE.replace("lr: 1e-3", "name: sgd, lr: 1e30"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    """A contest with its split and recipes beside it."""
    tiny = make_contest(tmp_path_factory.mktemp("tiny"), n_train=36, n_test=6, size=16)
    for name, text in RECIPES.items():
        (tiny.spec.parent / f"{name}.yaml").write_text(text)
    contest = tiny.contest()
    rows = load_train(contest)
    write_folds(contest, rows, assign_folds(strata_of("classes", rows.labels, 3), np.arange(len(rows)), 3, 0))
    return tiny


def arguments_of(tiny: Tiny, runs: Path, *recipes: str) -> list[str]:
    """Arguments for a command with the contest's split, and with no other runs."""
    shutil.copytree(tiny.contest().runs, runs / "tiny", ignore=shutil.ignore_patterns("*-s0"))
    paths = [str(tiny.spec.parent / f"{name}.yaml") for name in recipes]
    return ["-c", str(tiny.spec), "--data", str(tiny.data), "--runs", str(runs), "--wandb", "disabled", "-r", *paths]


def train(arguments: list[str]) -> int:
    """Run train.py in this process, which saves importing torch; returns its exit status."""
    before, sys.argv = sys.argv, ["train.py", *arguments]
    try:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
    return 0


def start(arguments: list[str], output: Path) -> Command:
    """Start train.py with two cores to give away: two children on a machine of one core, a thread for each anywhere."""
    return Command(output, "train.py", *arguments, TRAIN_CORES="2")


@pytest.fixture(scope="module")
def reference(tiny, tmp_path_factory) -> Run:
    """A run trained in one process, in one thread: its sums must be those of the processes compared with it."""
    runs, threads = tmp_path_factory.mktemp("reference") / "runs", torch.get_num_threads()
    torch.set_num_threads(1)
    assert train(arguments_of(tiny, runs, "small")) == 0
    torch.set_num_threads(threads)
    return open_run(runs / "tiny" / "small-s0")


def bits(run: Run) -> list[bytes]:
    predictions = [load_predictions(fold.oof).probabilities.tobytes() for fold in run.folds]
    return [fold.weights.read_bytes() for fold in run.folds] + predictions


def histories(run: Run) -> list[list[float]]:
    return [[row["train/loss"] for row in fold.history()] for fold in run.folds]


def test_two_commands_and_a_killed_child_train_every_fold_once_and_bit_for_bit(tiny, reference, tmp_path):
    arguments = [*arguments_of(tiny, tmp_path / "runs", "small"), "--launcher", "local", "--parallel", "2"]
    folder = tmp_path / "runs" / "tiny" / "small-s0"
    first = start(arguments, tmp_path / "first")
    until(lambda: (folder / "fold1" / "last.pt").is_file())
    os.kill(holder(folder / "fold1"), signal.SIGKILL)
    second = start(arguments, tmp_path / "second")
    until(lambda: (folder / "fold1" / "DONE").is_file())
    written = (folder / "fold1" / "DONE").stat()
    assert first.end() == 0, first.said
    assert second.end() == 0, second.said
    assert "small-s0 fold 1: ended by SIGKILL; goes on at once" in first.said
    run = open_run(folder)
    logs = [(fold.folder / "train.log").read_text() for fold in run.folds]
    assert "continues after epoch" in logs[1]
    assert bits(run) == bits(reference) and histories(run) == histories(reference)
    for log in logs:
        epochs = re.findall(r"epoch +(\d+)/16 ", log)
        assert len(epochs) == len(set(epochs)) and epochs[-1] == "16"
    after = (folder / "fold1" / "DONE").stat()
    assert (written.st_ino, written.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert sum(said.count("worst mistakes: ") for said in (*logs, first.said, second.said)) == 1
    assert first.said.count("\n  mean ") == 1 and re.search(r"small-s0 fold 0: done: accuracy [\d.]+ in ", first.said)


def test_whatever_ends_the_command_its_children_end_too_and_it_goes_on(tiny, tmp_path):
    arguments = [*arguments_of(tiny, tmp_path / "runs", "endless"), "--launcher", "local"]
    folder = tmp_path / "runs" / "tiny" / "endless-s0"

    def end(driver: Command, how: signal.Signals) -> int:
        driver.signal(how)
        status = driver.end()
        until(lambda: not children("endless-s0"), patience=20)
        return status

    driver = start([*arguments, "--parallel", "2", "--fold", "0", "1"], tmp_path / "first")
    until(lambda: all((folder / fold / "last.pt").is_file() for fold in ("fold0", "fold1")))
    assert len(children("endless-s0")) >= 2
    assert end(driver, signal.SIGINT) == 130, driver.said
    assert "interrupted; the same command continues" in driver.said
    saved = {fold: (folder / fold / "last.pt").stat().st_ino for fold in ("fold0", "fold1")}
    for fold in saved:
        assert "terminated; the same command continues" in (folder / fold / "train.log").read_text()

    driver = start([*arguments, "--parallel", "1"], tmp_path / "second")
    until(lambda: children("endless-s0"))  # just born
    assert end(driver, signal.SIGTERM) == 143, driver.said
    assert "terminated; the same command continues" in driver.said
    assert saved == {fold: (folder / fold / "last.pt").stat().st_ino for fold in saved}

    driver = start([*arguments, "--parallel", "1"], tmp_path / "third")
    until(lambda: (folder / "fold0" / "last.pt").stat().st_ino != saved["fold0"])
    assert end(driver, signal.SIGKILL) == -signal.SIGKILL
    assert "fold 0  continues after epoch" in (folder / "fold0" / "train.log").read_text()


def test_a_fold_that_cannot_be_trained_is_named_at_the_end_and_the_others_are_finished(
    tiny, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TRAIN_CORES", "2")
    monkeypatch.setattr(launch.supervise, "PAUSES", (0.0, 0.0, 0.0))
    arguments = [*arguments_of(tiny, tmp_path / "runs", "wild", "doomed", "small"), "--fold", "0"]
    over = Event()

    def kill() -> None:
        while not over.wait(0.01):
            for child in children("doomed-s0"):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    try:
        assert train([*arguments, "--launcher", "local", "--parallel", "2"]) == 1
    finally:
        over.set()
        killer.join()
    runs, said = tmp_path / "runs" / "tiny", capsys.readouterr()
    assert said.out.count("doomed-s0 fold 0: ended by SIGKILL; goes on at once") == 3
    given_up = said.err.partition("given up: 2 folds\n")[2]
    assert "doomed-s0 fold 0: ended by SIGKILL, and got no further when started again 3 times; " in given_up
    assert str(runs / "doomed-s0" / "fold0" / "train.log") in given_up
    assert re.search(r"wild-s0 fold 0: error: .* is not a number any more in epoch 1, .*train\.log\)\n", given_up)
    assert [open_run(runs / name).folds[0].done for name in ("small-s0", "wild-s0", "doomed-s0")] == [
        True,
        False,
        False,
    ]


class Scripted:
    """An attempt that has ended already. at: when its command wrote a checkpoint, if it did."""

    def __init__(self, task: FoldTask, status: int, at: int | None = None) -> None:
        self.status = status
        if at:
            task.fold.checkpoint.touch()
            os.utime(task.fold.checkpoint, (at, at))

    def poll(self) -> int:
        return self.status

    def end(self) -> None:
        pass


@pytest.fixture
def task(tiny, tmp_path, monkeypatch) -> FoldTask:
    """A fold in the middle, after epoch 2 of 4."""
    monkeypatch.setattr(launch.supervise, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(launch.supervise, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(launch.supervise, "HELD_SECONDS", 0.0)
    arguments_of(tiny, tmp_path / "runs")
    contest = open_contest(str(tiny.spec), str(tiny.data), str(tmp_path / "runs"))
    rows = load_train(contest)
    run = make_run(contest, rows, read_folds(contest, rows), "some", [], np.zeros(0), unfinished={0: [0.5, 0.625]})
    return FoldTask(run, run.folds[0], ())


def test_stopping_after_the_last_epoch_is_training_to_the_end(tiny, task):
    contest, planned = tiny.contest(), PlannedRun("some", task.run.recipe, "small", (), 0)
    untils = [fold_task(contest, task.run, planned, 0, (), until).until for until in (3, 4, 5)]
    assert untils == [3, None, None]


def test_a_machine_taken_away_again_and_again_does_no_harm_while_checkpoints_come(task):
    checkpoints = [None, None, None, 1, None, None, 2, 3, None, None, 4]
    left = iter([*checkpoints, None, None, None])
    (failure,) = supervise([task], lambda task: Scripted(task, 137, at=next(left)))
    assert (
        failure.status == 137
        and "its machine was lost, and got no further when started again 3 times" in failure.reason
    )
    assert next(left, "all were started") == "all were started"


def test_a_fold_that_another_process_trains_is_waited_for(task, capsys):
    code = (
        "import sys, pathlib, pipeline.run as r\nfold = r.Fold(0, pathlib.Path(sys.argv[1]))\n"
        "with fold.locked(): print(); input(); fold.finish({'metric': 'accuracy', 'score': 0.75, 'seconds': 60})"
    )
    line = [sys.executable, "-c", code, task.fold.folder]
    log, refused = task.fold.folder / "train.log", []

    def start(task: FoldTask) -> Scripted:
        """A command that finds, too late, that another process has the fold; which is gone when one looks."""
        if not log.is_file():
            log.write_text(f"error: it {HELD}: process 1 on moon\n")
            return Scripted(task, 2)
        other = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.readline()
        refused.append(other)
        log.write_text("")
        Timer(0.5, lambda: other.communicate(b"\n")).start()
        return Scripted(task, 2)

    assert supervise([task], start) == []
    (other,) = refused
    assert other.wait() == 0
    said = capsys.readouterr().out
    assert "some fold 0: waits for another process, which trains it" in said
    assert said.count(f"some fold 0: waits for process {other.pid} on ") == 1
    assert "some fold 0: done: accuracy 0.7500 in 1.0 minutes" in said


def test_the_user_alone_can_help_where_every_failure_says_so(task):
    assert report([Failure(task, 2, "bad"), Failure(task, 2, "bad")]) == 2
    assert report([Failure(task, 2, "bad"), Failure(task, 1, "worse")]) == 1


@pytest.mark.parametrize(
    "cards, parallel, gpus_per_fold, expected",
    [
        ("", None, 1, [((), 8)]),
        ("", 3, 2, [((), 2)] * 3),
        ("0 1", None, 1, [(("0",), 4), (("1",), 4)]),
        ("0 1 2 3", 2, 1, [(("0",), 4), (("1",), 4)]),
        ("4 5 6", None, 2, [(("4", "5"), 8)]),
        ("GPU-a GPU-b GPU-c GPU-d", 2, 2, [(("GPU-a", "GPU-b"), 4), (("GPU-c", "GPU-d"), 4)]),
        ("0 1 2 3 4 5 6 7 8 9", None, 1, [((str(k),), 1) for k in range(10)]),
    ],
)
def test_every_fold_has_cards_and_cores_of_its_own(cards, parallel, gpus_per_fold, expected):
    assert places(cards.split(), 8, parallel, gpus_per_fold) == [Place(*each) for each in expected]


@pytest.mark.parametrize(
    "cards, parallel, gpus_per_fold, message",
    [
        ("0 1 2", 2, 2, r"--parallel 2 with --gpus-per-fold 2 takes 4 GPUs, and 3 can be seen here \(0, 1, 2\)"),
        ("0", None, 2, "--parallel 1 with --gpus-per-fold 2 takes 2 GPUs, and 1 can"),
        ("", 9, 1, "--parallel 9: .* may use 8"),
        ("", 0, 1, "--parallel 0"),
    ],
)
def test_more_than_there_is_cannot_be_asked_for(cards, parallel, gpus_per_fold, message):
    with pytest.raises(SpecError, match=message):
        places(cards.split(), 8, parallel, gpus_per_fold)


@pytest.mark.parametrize(
    "told, seen, expected",
    [
        (None, 2, ["0", "1"]),
        ("2,3", 2, ["2", "3"]),
        ("GPU-8c, GPU-1f", 2, ["GPU-8c", "GPU-1f"]),
        ("MIG-5a,MIG-77", 1, ["MIG-5a", "MIG-77"]),
        ("1,-1,0", 1, ["1"]),
        ("", 0, []),
        ("0,1", 0, []),
    ],
)
def test_only_cards_that_this_process_may_use_are_given_away(monkeypatch, told, seen, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if told is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    assert visible_cards() == expected


def test_parallel_is_for_the_local_launcher(tiny, capsys):
    assert train(["-c", str(tiny.spec), "--parallel", "2"]) == 2
    assert "--parallel is for --launcher local" in capsys.readouterr().err


def test_a_thousand_tasks_fit_on_the_screen_and_few_of_their_folders_are_looked_at(task, monkeypatch, capsys):
    monkeypatch.setattr(launch.board, "DRAW_SECONDS", -1.0)
    others = [FoldTask(task.run, Fold(k, task.run.folder / f"fold{k}"), ()) for k in range(1, 1000)]
    board, looked = Board([task, *others]), []
    monkeypatch.setattr(Standing, "look", lambda self, look=Standing.look: looked.append(self) or look(self))
    for each in [task, *others[:500]]:
        board.show(each, "pending")
    board.show(others[998], "failed", "error: bad (train.log)")
    with task.fold.locked():
        pass
    board.refresh()
    assert len(looked) <= 2 * LOOKS
    for _ in range(500 // LOOKS + 1):
        board.refresh()
    assert len({id(each) for each in looked}) == 501
    console = Console(file=io.StringIO(), width=120, height=12)
    console.print(board.table(12))
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 12 and "failed" in lines[1] and "error: bad" in lines[1]
    assert re.search(rf"some +0 +training +process {os.getpid()} on \S+ +2/4 +0.6250 +100 +0:\d\d", lines[2])
    assert lines[-1].split(";")[0] == "0 of 1000 done, 498 queued, 500 pending, 1 training, 1 failed"
    assert f"some fold 0: trained by process {os.getpid()} on " in capsys.readouterr().out


def test_a_terminal_has_the_table_below_what_is_said_and_its_cursor_back(task, monkeypatch):
    master, slave = os.openpty()
    with os.fdopen(master, "rb", 0) as screen, os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setenv("TERM", "xterm")
        with Board([task]) as board:
            board.show(task, "pending")
            board.refresh()
            board.show(task, "failed", "error: bad (train.log)")
        shown = b""
        while not shown.endswith(b"\x1b[?25h"):
            shown += screen.read(2**12)
    first, _, second = shown.decode().partition("some fold 0: failed: error: bad (train.log)")
    assert "\x1b[?25l" in first and "0 of 1 done, 1 pending" in first and "images/s" in first
    assert "0 of 1 done, 1 failed" in second and "images/s" in second
