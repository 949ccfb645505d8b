"""Training on a real Ray cluster. `test_ray.py` runs these tests in namespaces of their own, with no network but lo.

A machine of the cluster is a process and mount namespace with an address and a hostname: killed, it is gone with all
its processes, like one whose power was cut. They share the file system, except where a test gives one another folder.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import ray

from competition.rows.tables import load_train
from folds.split import assign_folds, strata_of
from folds.store import write_folds
from launch.cluster_check import check_cluster
from launch.nodes import living
from launch.ray_cluster import connected
from pipeline.run import Fold, open_run
from pipeline.store import load_predictions
from tests.commands import ROOT, Command, finish
from tests.support import Tiny, make_contest

EPOCHS = 144  # an epoch takes some hundredths of a second, and Ray seconds to notice that a driver is gone
RECIPE = f"""
model: {{name: plain_cnn_128}}
augment: [{{HorizontalFlip: {{p: 0.5}}}}]
batch_size: 8
optimizer: {{lr: 1e-3}}
schedule: {{epochs: {EPOCHS}}}
"""
COUNT = itertools.count()
HEAD = "127.0.0.1:6379"
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
START = [*RAY, "start", "--block", "--disable-usage-stats", "--num-gpus=0", "--object-store-memory=80000000"]
PORTS = (
    "node-manager",
    "object-manager",
    "dashboard-agent-listen",
    "dashboard-agent-grpc",
    "runtime-env-agent",
    "metrics-export",
)
# A killed machine is noticed in a second or two, not in half a minute.
QUICK = {f"RAY_health_check_{key}": str(value) for key, value in [("period_ms", 300), ("timeout_ms", 1000)]}
NODE = 'mount -t tmpfs tmpfs "$1"; hostname "$2"; shift 2; exec "$@"'


class Cluster:
    """A head without CPUs, and machines with one each: node-2 at 127.0.0.2, and so on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.nodes = folder, {}
        head = ["--head", "--port=6379", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}"]
        self._start("head", [*ray_start(1), *head])
        self.ready()

    def add(self, number: int, *before: str) -> None:
        """Start a machine. before: a command of it that starts Ray, which follows."""
        line = [*before, *ray_start(number), f"--address={HEAD}", "--num-cpus=1"]
        unshare = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        name = f"node-{number}"
        self._start(name, [*unshare, "sh", "-ec", NODE, "sh", str(self.folder), name, *line])

    def ready(self) -> None:
        """Wait until Ray runs on all machines. It gives up by itself where it cannot."""
        for name, node in self.nodes.items():
            while "Ray runtime started" not in (said := self._log(name).read_text()):
                assert node.poll() is None, said
                time.sleep(0.1)

    def kill(self, name: str) -> None:
        self.nodes[name].kill()
        self.nodes.pop(name).wait()

    def _log(self, name: str) -> Path:
        return self.folder.with_name(f"{name}.log")

    def _start(self, name: str, line: list[str]) -> None:
        with self._log(name).open("w") as log:
            self.nodes[name] = subprocess.Popen(
                line, env=os.environ | QUICK, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )


def ray_start(number: int) -> list[str]:
    """The command, with ports of the machine's own: all share one network, and Ray only looks for free ones."""
    base = 20_000 + 1_000 * number
    ports = [f"--{name}-port={base + k}" for k, name in enumerate(PORTS)]
    workers = [f"--min-worker-port={base + 100}", f"--max-worker-port={base + 999}"]
    return [*START, f"--node-ip-address=127.0.0.{number}", *ports, *workers]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        # Paths of sockets are short; hence not tmp_path.
        (Path(folder) / "r").mkdir()
        cluster = Cluster(Path(folder) / "r")
        cluster.add(2)
        cluster.add(3)
        cluster.ready()
        yield cluster
        for name in list(cluster.nodes):
            cluster.kill(name)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    tiny = make_contest(tmp_path_factory.mktemp("tiny"), n_train=48, n_test=12, size=16)
    (tiny.spec.parent / "small.yaml").write_text(RECIPE)
    contest = tiny.contest()
    rows = load_train(contest)
    write_folds(contest, rows, assign_folds(strata_of("classes", rows.labels, 3), np.arange(len(rows)), 3, 0))
    return tiny


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> Path:
    """The runs folder of the same training in one process, on one thread, without interruption."""
    runs = tmp_path_factory.mktemp("whole")
    shutil.copytree(tiny.contest().runs, runs / "tiny")
    finish(start(tiny, "--seed", "0", "1", runs=runs))
    return runs / "tiny"


def start(tiny: Tiny, *more: str, runs: Path | None = None, **environment: str) -> Command:
    """Start train.py in a process of its own."""
    line = ["train.py", "-c", str(tiny.spec), "-r", str(tiny.spec.parent / "small.yaml"), "--data", str(tiny.data)]
    line += ["--runs", str(runs or tiny.spec.parent / "runs"), "--wandb", "disabled", *more]
    return Command(tiny.spec.parent / "said" / str(next(COUNT)), *line, **environment)


def wait(condition: Callable[[], object], *commands: Command, seconds: float = 120.0) -> object:
    """What `condition` says once it says something. Fails with the words of `commands` when one of them ends before."""
    end = time.monotonic() + seconds
    while not (said := condition()):
        if time.monotonic() > end or not all(command.running for command in commands):
            for command in filter(attrgetter("running"), commands):
                command.signal(signal.SIGKILL)
            pytest.fail("\n".join(["waited in vain", *(command.said for command in commands)]))
        time.sleep(0.05)
    return said


def command_lines() -> dict[int, list[str]]:
    lines = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text := path.read_text():  # a zombie has none
                lines[int(path.parent.name)] = text.split("\0")
        except OSError:
            continue  # it has ended meanwhile
    return lines


def parent_of(pid: int) -> int:
    return int(re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def children(fold: Fold) -> list[int]:
    """The processes that train a fold, or its augmentation's: their arguments name it."""
    name = ["--name", fold.folder.parent.name, "--fold", str(fold.number)]
    return [pid for pid, line in command_lines().items() if any(line[i : i + 4] == name for i in range(len(line)))]


def amid(folds: list[Fold], host: str = "") -> Fold | None:
    """A fold that is being trained on `host`, and has some epochs behind and some before it."""
    for fold in folds:
        holder = fold.holder
        if holder and holder.endswith(host) and 2 <= len(fold.history()) <= EPOCHS // 2:
            return fold
    return None


def assert_same(runs: Path, whole: Path, name: str, numbers: list[int]) -> None:
    for k in numbers:
        here, there = open_run(runs / name).folds[k], open_run(whole / name).folds[k]
        assert here.weights.read_bytes() == there.weights.read_bytes(), (name, k)
        ours, theirs = load_predictions(here.oof), load_predictions(there.oof)
        assert (ours.ids == theirs.ids).all()
        assert ours.probabilities.tobytes() == theirs.probabilities.tobytes(), (name, k)
        assert [row["epoch"] for row in here.history()] == list(range(1, EPOCHS + 1))


def test_machines_die_and_two_commands_train_the_same_runs(cluster, tiny, whole):
    runs = tiny.contest().runs
    both = ["--seed", "0", "1", "--fold", "0", "1", "--launcher", "ray"]
    drivers = [start(tiny, *both, "--address", HEAD), start(tiny, *both, RAY_ADDRESS=HEAD)]
    folds = [Fold(k, runs / f"small-s{seed}" / f"fold{k}") for seed in (0, 1) for k in (0, 1)]

    struck = wait(lambda: amid(folds), *drivers)
    (child,) = [pid for pid in children(struck) if command_lines()[parent_of(pid)][0].startswith("ray::")]
    os.kill(parent_of(child), signal.SIGKILL)
    wait(lambda: child not in command_lines(), seconds=10)

    lost = wait(lambda: amid([fold for fold in folds if fold.folder != struck.folder], "node-2"), *drivers)
    cluster.kill("node-2")

    for driver in drivers:
        said = finish(driver)
        assert said.count("still to train: 2") == 2 and "(raylet)" not in said, said
    for seed in (0, 1):
        assert_same(runs, whole, f"small-s{seed}", [0, 1])
    for fold in (struck, lost):
        assert "continues after epoch" in (fold.folder / "train.log").read_text()

    again = finish(start(tiny, *both, "--address", "127.0.0.1:1"))  # where no cluster is: none is needed
    assert again.count("is done") == 4


def test_a_machine_that_dies_while_it_is_looked_at_gets_no_fold(cluster, tiny, capsys):
    cluster.add(4)
    cluster.ready()
    with connected(HEAD):
        nodes = living(ray.nodes())
        cluster.kill("node-4")  # Ray has yet to notice
        contest = tiny.contest()
        left = check_cluster(nodes, [], contest.data.resolve(), contest.runs.resolve())
    assert {node.name for node in nodes} - {node.name for node in left} == {"node-4 (127.0.0.4)"} and left
    assert "node-4 (127.0.0.4) has left the Ray cluster" in capsys.readouterr().err


def test_a_command_told_to_end_ends_all_in_order_and_goes_on_another_time(cluster, tiny, whole):
    if "node-2" in cluster.nodes:  # with one machine left, one fold is trained, and the other waits for it
        cluster.kill("node-2")
    command = ["--seed", "0", "1", "--fold", "2", "--launcher", "ray"]
    runs = tiny.contest().runs
    folds = [Fold(2, runs / f"small-s{seed}" / "fold2") for seed in (0, 1)]
    for what, status in [(signal.SIGINT, 130), (signal.SIGKILL, -9)]:
        before = [len(fold.history()) for fold in folds]
        driver = start(tiny, *command)
        wait(lambda before=before: any(len(f.history()) > n for f, n in zip(folds, before, strict=True)), driver)
        driver.signal(what)
        finish(driver, status)
        wait(lambda: not any(children(fold) for fold in folds), seconds=1 if what == signal.SIGINT else 20)
        for fold in folds:
            assert len(fold.history()) < EPOCHS and (fold.checkpoint.is_file() or not fold.history())
    finish(start(tiny, *command))
    logs = ""
    for seed, fold in enumerate(folds):
        assert_same(runs, whole, f"small-s{seed}", [2])
        logs += (fold.folder / "train.log").read_text()
    assert logs.count("continues after epoch") == 2 and logs.count("terminated; the same command continues") == 1


def test_a_cluster_that_cannot_train_is_refused(cluster, tiny):
    command = ["--seed", "3", "--launcher", "ray", "--address", HEAD]
    said = finish(start(tiny, *command, "--gpus-per-fold", "2"), 2)
    assert "--gpus-per-fold 2: no machine of the Ray cluster has so many GPUs: node-" in said

    # A machine of its own folder of runs, and without this package, which is not needed for looking.
    runs = tiny.contest().runs.resolve()
    hide = f'mount -t tmpfs tmpfs {runs}; mount -t tmpfs tmpfs {ROOT}/launch; exec "$@"'
    cluster.add(5, "sh", "-ec", hide, "sh")
    cluster.ready()
    said = finish(start(tiny, *command), 2)
    assert f"node-5 (127.0.0.5): {runs} is another folder than here; mount the same storage" in said
    assert f"node-5 (127.0.0.5): {ROOT}/launch/__init__.py is missing (and " in said
    assert "node-3" not in said
    assert not any((runs / "small-s3").glob("fold*/train.log")) and not list(runs.glob(".probe-*"))
