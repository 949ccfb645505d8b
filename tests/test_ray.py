"""--launcher ray: what can be said without a cluster, and those tests that need one."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from competition.errors import SpecError
from launch.cluster_check import differences, problems
from launch.nodes import Node, able, cpus_per_fold, living
from launch.ray_cluster import cluster_address, train_on_ray
from launch.remote import LOCK, STAMP, look_around, run_fold

ROOT = Path(__file__).parent.parent
# Ray listens on all addresses of a machine, so its tests have a network of their own; and processes, which end with it.
ALONE = ["unshare", *(["--map-root-user"] if os.geteuid() else [])]
ALONE += ["--net", "--uts", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]


def _skip(reason: str) -> None:
    (pytest.fail if os.environ.get("REQUIRE_RAY") else pytest.skip)(reason)


def test_on_a_cluster():
    if importlib.util.find_spec("ray") is None:
        _skip("Ray is not installed; `make test-ray` runs this")
    tried = subprocess.run([*ALONE, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    if tried.returncode:
        _skip(f"NOT TESTED: --launcher ray. Namespaces are not allowed here: {tried.stderr.strip()}")
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/on_a_cluster.py"]
    inside = ["sh", "-ec", 'ip link set lo up; hostname head; exec "$@"', "sh", *tests]
    done = subprocess.run([*ALONE, *inside], cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr


CPU_ONLY = [Node("a", "a (10.0.0.1)", 16, 0), Node("b", "b (10.0.0.2)", 8, 0)]
MIXED = [Node("c", "c (10.0.0.3)", 64, 8), Node("d", "d (10.0.0.4)", 30, 4), *CPU_ONLY]


@pytest.mark.parametrize(
    "nodes, asked, names, gpus, cpus",
    [
        (CPU_ONLY, None, "ab", 0, 8),
        (MIXED, None, "cd", 1, 7),
        (MIXED, 2, "cd", 2, 15),
        (MIXED, 8, "c", 8, 64),
        (MIXED, 0, "cdab", 0, 8),
        ([Node("e", "e", 2, 8)], None, "e", 1, 1),
    ],
)
def test_a_fold_gets_what_every_machine_that_can_train_it_has(nodes, asked, names, gpus, cpus):
    those, per_fold = able(nodes, asked)
    assert ("".join(node.id for node in those), per_fold) == (names, gpus)
    assert cpus_per_fold(those, gpus) == cpus


def test_what_no_machine_has_is_refused():
    with pytest.raises(SpecError, match=r"--gpus-per-fold 1: .* so many GPUs: a \(10.0.0.1\) has 0, b"):
        able(CPU_ONLY, 1)
    with pytest.raises(SpecError, match="--gpus-per-fold 9"):
        able(MIXED, 9)
    with pytest.raises(SpecError, match="no machine of the Ray cluster has CPUs"):
        able([], None)


def test_dead_machines_and_heads_without_cpus_take_no_folds():
    def described(name: str, alive: bool = True, **resources: float) -> dict:
        host = {"NodeManagerHostname": name, "NodeManagerAddress": "10.0.0.1"}
        return {"NodeID": name, "Alive": alive, "Resources": resources, **host}

    nodes = [described("head", memory=1e9), described("gone", False, CPU=4.0), described("gpu", CPU=4.0, GPU=2.0)]
    assert living([*nodes, described("cpu", CPU=2.0)]) == [
        Node("cpu", "cpu (10.0.0.1)", 2, 0),
        Node("gpu", "gpu (10.0.0.1)", 4, 2),
    ]


@pytest.mark.parametrize(
    "found, seen, message",
    [
        ({}, True, None),
        ({"files": {Path("/kit/train.py"): None}}, True, "/kit/train.py is missing; keep the kit"),
        ({"files": {Path("/kit/train.py"): "beef"}}, True, "/kit/train.py is another file than here"),
        ({"data": False}, True, "/data is missing"),
        ({"stamp": None, "locked": False}, True, "/runs is another folder than here; mount the same storage"),
        ({"stamp": "of yesterday"}, True, "/runs is another folder"),
        ({}, False, "/runs is another folder"),  # read through from a shared one, but written elsewhere
        ({"error": "Permission denied", "locked": False}, True, "/runs cannot be written: Permission denied"),
        ({"locked": False}, True, "two machines could train one fold; mount the storage with locks"),
    ],
)
def test_what_machines_do_not_share_is_said_with_the_fix(found, seen, message):
    facts = {"files": {Path("/kit/train.py"): "cafe"}, "data": True, "stamp": "t", "locked": True} | found
    said = problems(facts, {Path("/kit/train.py"): "cafe"}, "t", seen, Path("/data"), Path("/runs"))
    assert len(said) == (message is not None) and (message or "") in "".join(said)


def test_other_versions_are_named():
    here = {"Python": "3.11.7", "torch": "2.15.0", "numpy": "2.3.0"}
    there = here | {"torch": "2.6.0", "numpy": None}
    assert differences(there, here) == "torch 2.6.0 (here 2.15.0), numpy none (here 2.3.0)"
    assert differences(here, here) == ""


def test_a_lock_that_nobody_holds_is_not_taken_for_one(tmp_path):
    (tmp_path / STAMP).write_text("t")
    (tmp_path / LOCK).touch()
    facts = look_around([ROOT / "train.py", tmp_path / "no.py"], tmp_path, tmp_path, "answer")
    assert facts["stamp"] == "t" and facts["locked"] is False and (tmp_path / "answer").is_file()
    assert len(facts["files"][ROOT / "train.py"]) == 64 and facts["files"][tmp_path / "no.py"] is None


def test_a_machine_without_the_run_trains_nothing_and_a_finished_fold_is_left_alone(tmp_path):
    (tmp_path / "fold0").mkdir()
    for left in (None, "", '{"score": 0.9'):  # no DONE, and such as a copy has cut short
        if left is not None:
            (tmp_path / "fold0" / "DONE").write_text(left)
        with pytest.raises(FileNotFoundError, match="runs must be on storage that all share"):
            run_fold(["--no-such-argument"], tmp_path / "fold0", 1, 0, ROOT)
    (tmp_path / "fold0" / "DONE").write_text("{}")
    assert run_fold(["--no-such-argument"], tmp_path / "fold0", 1, 0, ROOT) == 0
    assert [path.name for path in (tmp_path / "fold0").iterdir()] == ["DONE"]


def test_where_no_cluster_is_the_commands_that_start_one_are_told(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert cluster_address(address) == address
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert cluster_address(None) == address
    for told in (None, "127.0.0.1:1"):
        with pytest.raises(SpecError, match=r"no Ray cluster answers at .*ray start --head.*--launcher local"):
            cluster_address(told)
    for told in ("ray://head:10001", "http://head:8265", "local", "head"):
        with pytest.raises(SpecError, match="HOST:PORT of the cluster's head is wanted"):
            cluster_address(told)
    monkeypatch.delenv("RAY_ADDRESS")
    assert cluster_address(None) == "auto"


def test_without_ray_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SpecError, match=r"pip install -r requirements-ray.txt.*--launcher local"):
        train_on_ray([object()], None, None)
