"""Notebook-only contests: the real kaggle CLI against the local Kaggle, and the packed notebook really executed."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from competition.contest import Contest, open_contest
from competition.errors import DataError, KaggleError, SubmissionError
from competition.kaggle import deliver as deliver_module
from competition.kaggle import notebook as notebook_module
from competition.kaggle import push as push_module
from competition.kaggle import score as score_module
from competition.kaggle.ledger import read_ledger
from competition.kaggle.notebook import submit_notebook
from competition.kaggle.packing import pack
from competition.kaggle.submit import submit
from competition.rows.tables import load_test, load_train
from competition.spec_parts import Pixels
from competition.stand_in import contest as local_contest
from competition.stand_in import notebooks as local_notebooks
from competition.stand_in.contest import LocalContest
from competition.stand_in.server import LocalKaggle, Request, Response, environment, running
from folds.split import assign_folds, strata_of
from folds.store import write_folds
from pipeline.inference import predict_rows
from pipeline.packed import predict_packed
from pipeline.run import find_run
from pipeline.store import load_predictions
from tests.support import Tiny, make_contest, write_csv

ROOT = Path(__file__).parent.parent


# What is executed: trained, packed, and run where nothing else is.

RECIPES = {
    "plain": "model: {name: plain_cnn_128}\nbatch_size: 8\noptimizer: {lr: 1e-3}\nschedule: {epochs: 1}\n",
    "trace": "model: {name: trace_resnet_s}\nimage: {channels: 1}\nbatch_size: 8\noptimizer: {lr: 1e-2}\n"
    "schedule: {epochs: 1}\ntta: [horizontal]\n",
}

# Executes the notebook of argv[1] as it is, between a cell of conditions and one that tells what was met.
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
source, target, conditions, tell = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
notebook.cells.insert(0, nbformat.v4.new_code_cell(conditions))
notebook.cells.append(nbformat.v4.new_code_cell(tell))
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, target)
"""
# What Kaggle's image may lack.
HIDE = "import sys; sys.modules.update(dict.fromkeys(('albumentations', 'wandb', 'kaggle')))"
# Where the system does not allow `alone`, Python itself refuses what is not allowed.
GUARD = """
import os
def guard(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not arguments[1][0].startswith("127."):
        raise ConnectionRefusedError(str(arguments))
    if event == "open" and str(arguments[0]).startswith(os.environ["KIT_INPUT"]):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(str(arguments))
sys.addaudithook(guard)
"""
TELL = """
import socket
try:
    socket.create_connection(("192.0.2.1", 9), timeout=1)
    network = "reached"
except TimeoutError:
    network = "silent"
except OSError as error:
    network = "refused"
own = {name: sys.modules[name].__file__ for name in ("competition", "folds", "blending", "models", "pipeline")}
print(json.dumps({"network": network, "own": own}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Contest:
    """A contest with two runs of one seed and one of another, one epoch each, all of which predicted the test rows."""
    tiny = make_contest(tmp_path_factory.mktemp("trained"), n_train=30, n_test=20, size=16)
    contest, folder = tiny.contest(), tiny.spec.parent
    rows = load_train(contest)
    write_folds(contest, rows, assign_folds(strata_of("classes", rows.labels, 3), np.arange(len(rows)), 3, 0))
    for name, recipe in RECIPES.items():
        (folder / f"{name}.yaml").write_text(recipe)
    for name, seed in (("plain", "0"), ("plain", "1"), ("trace", "0")):
        command(contest, "train.py", "-r", str(folder / f"{name}.yaml"), "--seed", seed, "--wandb", "disabled")
    # As if it had begun from downloaded weights: prediction must not ask for them again, having no network.
    config = contest.runs / "trace-s0/config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["recipe"]["model"]["pretrained"] = True
    config.write_text(yaml.safe_dump(settings))
    command(contest, "infer.py", "plain-s0", "plain-s1", "trace-s0")
    return contest


def command(contest: Contest, script: str, *arguments: str) -> None:
    """Run a command in this process, which saves importing torch each time."""
    where = ["-c", contest.name, "--data", str(contest.data), "--runs", str(contest.runs.parent)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *arguments, *where])
        runpy.run_path(str(ROOT / script), run_name="__main__")


def of_probabilities(contest: Contest) -> Contest:
    """The same contest, which now asks for probabilities."""
    classes = contest.spec.target.classes
    ids = pd.read_csv(contest.data / "sample_submission.csv", dtype=str)["id"]
    rows = [(name, *[1 / len(classes)] * len(classes)) for name in ids]
    write_csv(contest.data / "probabilities.csv", ["id", *classes], rows)
    spec = Path(contest.name).with_name("probabilities.yaml")
    before, after = "{kind: label, id: id, column: label}", "{kind: probability, id: id, sample: probabilities.csv}"
    text = Path(contest.name).read_text()
    assert before in text
    spec.write_text(text.replace(before, after))
    return open_contest(str(spec), str(contest.data), str(contest.runs.parent))


def mount(inputs: Path, contest: Contest, archive: Path, new_layout: bool) -> None:
    """The notebook's inputs, in one of the two ways in which Kaggle shows them, the archive unpacked in one of them."""
    data, dataset = ("competitions", "datasets/demo") if new_layout else ("", "")
    shutil.copytree(contest.data, inputs / data / contest.spec.kaggle)
    weights = inputs / dataset / f"{contest.spec.kaggle}-ensemble-weights"
    if new_layout:
        weights.mkdir(parents=True)
        shutil.copy(archive, weights)
    else:
        shutil.unpack_archive(archive, weights)


def alone(folder: Path) -> list[str]:
    """A command's beginning: no network but the loopback of its own, and nothing to write to in folder/input."""
    script = (
        'ip link set lo up && mount --bind "$0/input" "$0/input" && mount -o remount,bind,ro "$0/input" && exec "$@"'
    )
    prefix = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, str(folder)]
    done = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if done.returncode == 0 else []


@pytest.mark.parametrize(
    ("kind", "options", "new_layout"),
    [
        ("label", ["--method", "convex_calibrated", "--pool-seeds"], False),
        ("probability", ["--method", "log_linear"], True),
    ],
)
def test_the_notebook_alone_writes_the_ensembles_submission_to_the_last_byte(
    trained, tmp_path, kind, options, new_layout
):
    contest = of_probabilities(trained) if kind == "probability" else trained
    command(contest, "ensemble.py", "--name", kind, "--wandb", "disabled", *options)
    ensemble = contest.ensembles / kind
    packed = pack(contest, ensemble, gpu=False)
    mount(tmp_path / "input", contest, packed.archive, new_layout)
    for name in ("home", "working"):
        (tmp_path / name).mkdir()
    keep = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "TMPDIR") if name in os.environ}
    environment = keep | {
        "HOME": str(tmp_path / "home"),
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "KIT_INPUT": str(tmp_path / "input"),
    }
    isolated = alone(tmp_path)
    conditions = HIDE if isolated else f"{HIDE}\n{GUARD}"
    done = subprocess.run(
        [
            *isolated,
            sys.executable,
            "-I",
            "-c",
            EXECUTE,
            packed.notebook,
            tmp_path / "executed.ipynb",
            conditions,
            TELL,
        ],
        cwd=tmp_path / "working",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "working/submission.csv").read_bytes() == (ensemble / "submission.csv").read_bytes()
    assert [path.name for path in (tmp_path / "working").iterdir()] == ["submission.csv"]

    cells = nbformat.read(tmp_path / "executed.ipynb", as_version=4).cells
    outputs = ["".join(part.get("text", "") for part in cell.get("outputs", [])) for cell in cells]
    assert "differ by 0.0e+00 at most; submission.csv is the same, byte for byte" in "".join(outputs)
    told = json.loads(outputs[-1])
    assert not [path for path in told["own"].values() if str(ROOT) in path], told["own"]
    assert told["network"] == "refused"
    assert not list((tmp_path / "input").rglob("*.pyc"))


def test_a_notebook_only_contest_is_predicted_in_float32_and_takes_no_files(trained):
    spec = trained.spec.model_copy(update={"rules": trained.spec.rules.model_copy(update={"notebook_only": True})})
    contest, rows = replace(trained, spec=spec), load_test(trained)
    run = find_run(trained, "plain-s0")

    def predicted(where: Contest, precision: str) -> np.ndarray:
        recipe = run.recipe.model_copy(update={"precision": precision})
        return predict_rows(where, replace(run, recipe=recipe), "test", rows).probabilities

    exact = predicted(trained, "float32")
    assert np.array_equal(predicted(contest, "bfloat16"), exact)
    assert not np.array_equal(predicted(trained, "bfloat16"), exact)

    command(trained, "ensemble.py", "--name", "no-file", "--method", "uniform", "--wandb", "disabled")
    with pytest.raises(SubmissionError, match=r"takes notebooks only.* python -m competition notebook -c .*tiny.yaml"):
        submit(contest, dry_run=True)


def test_a_run_predicts_only_what_it_was_trained_for(trained, tmp_path):
    run, rows, target = find_run(trained, "plain-s0"), load_test(trained), trained.spec.target

    def mended(**changes: object) -> Contest:
        return replace(trained, spec=trained.spec.model_copy(update=changes))

    other_order = mended(target=target.model_copy(update={"classes": target.classes[::-1]}))
    for contest, problem in (
        (other_order, "plain-s0 was trained with another class 0: 'cat', now 'owl'"),
        (mended(pixels=Pixels(planes=(0,))), r"another spec\.pixels: None, now {'planes': \[0\]}"),
        (mended(slug="other"), r"another spec\.slug: 'tiny', now 'other'"),
    ):
        with pytest.raises(DataError, match=problem):
            predict_rows(contest, run, "test", rows)

    # What is judged otherwise is predicted as before. What is looked for elsewhere must be predicted anew.
    log_loss = mended(metric=trained.spec.metric.model_copy(update={"name": "log_loss", "direction": "minimize"}))
    assert len(predict_rows(log_loss, run, "test", rows)) == len(rows) == len(run.test("test", rows.ids, log_loss))
    elsewhere = mended(test=trained.spec.test.model_copy(update={"images": "train/{id}.png"}))
    with pytest.raises(
        DataError, match=r"test\.npz was made of other test images than the spec names now. Predict again"
    ):
        run.test("test", rows.ids, elsewhere)

    shutil.copytree(trained.data, tmp_path / "data")
    for path in (tmp_path / "data/test").glob("*.png"):
        cv2.imwrite(str(path), np.zeros((8, 24, 3), dtype=np.uint8))
    large = replace(trained, data=tmp_path / "data", runs=tmp_path / "runs")
    with pytest.raises(
        DataError, match=r"the test images are 8×24 with 3 channels, .*fold0 was trained on 16×16 with 3"
    ):
        predict_rows(large, run, "test", load_test(large))


def test_of_other_test_rows_the_notebook_makes_no_claim(trained, tmp_path, capsys):
    contest = of_probabilities(trained)
    command(contest, "ensemble.py", "--name", "hidden", "--method", "uniform", "--wandb", "disabled")
    packed = pack(contest, contest.ensembles / "hidden", gpu=False)
    shutil.unpack_archive(packed.archive, tmp_path / "packed")
    # The hidden test set: seven of the images under other names, in another order.
    classes, names = contest.spec.target.classes, [f"hidden{i}" for i in range(7)]
    (tmp_path / "data/test").mkdir(parents=True)
    for i, name in enumerate(names):
        shutil.copy(contest.data / f"test/test{6 - i:03}.png", tmp_path / f"data/test/{name}.png")
    for table in ("sample_submission.csv", "probabilities.csv"):
        write_csv(tmp_path / "data" / table, ["id", *classes], [(name, 0.5, 0.5, 0) for name in names])
    capsys.readouterr()
    predict_packed(tmp_path / "packed", tmp_path / "data", tmp_path / "scratch", tmp_path / "submission.csv")
    assert "there is no packed answer" in capsys.readouterr().out
    written = pd.read_csv(tmp_path / "submission.csv", index_col="id")
    at_home = load_predictions(contest.ensembles / "hidden/test.npz").probabilities
    assert list(written.index) == names
    # Not to the last bit: another batch may be summed in another order.
    np.testing.assert_allclose(written.to_numpy(), at_home[:7][::-1], atol=0.02)


def test_the_ensembles_decision_is_taken_in_the_notebook_too(trained, tmp_path):
    command(trained, "ensemble.py", "--name", "decided", "--wandb", "disabled")
    weights = trained.ensembles / "decided/weights.json"
    decided = json.loads(weights.read_text()) | {"decision": {"kind": "multipliers", "values": [1e-6, 1.0, 1e-6]}}
    weights.write_text(json.dumps(decided))
    shutil.unpack_archive(pack(trained, weights.parent, gpu=False).archive, tmp_path / "packed")
    predict_packed(tmp_path / "packed", trained.data, tmp_path / "scratch", tmp_path / "submission.csv")
    assert set(pd.read_csv(tmp_path / "submission.csv")["label"]) == {trained.spec.target.classes[1]}


# What is pushed: file by file, as if it had been trained.


@dataclass
class Served:
    """A tiny contest with a packed ensemble's files on a local Kaggle. `fault` may answer in its stead."""

    contest: Contest
    kaggle: LocalKaggle
    fault: Callable[[Request], Response | None]
    asked: list[str]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    tiny = make_contest(tmp_path)
    contest = tiny.contest()
    write_ensemble(contest, tiny)
    kaggle = LocalKaggle(LocalContest(contest.spec, tiny.archive, tiny.answers, tmp_path / "state"))
    served = Served(contest, kaggle, fault=lambda _: None, asked=[])
    honest = kaggle.respond

    def respond(request: Request) -> Response:
        served.asked.append(request.path.rpartition("/")[2])
        return served.fault(request) or honest(request)

    kaggle.respond = respond
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(local_contest, "PENDING", timedelta(0))
    for module in (push_module, score_module):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(deliver_module, "LISTING_PAUSE", 0.0)
    with running(kaggle) as port:
        for name, value in {**environment(port), "HOME": str(tmp_path / "home")}.items():
            monkeypatch.setenv(name, value)
        yield served


def write_ensemble(contest: Contest, tiny: Tiny) -> None:
    """An ensemble of two runs that were never trained; a third one has no weight and no files."""
    for run in ("a", "b"):
        for k in range(2):
            (contest.runs / run / f"fold{k}").mkdir(parents=True)
            (contest.runs / run / f"fold{k}/weights.safetensors").write_bytes(f"weights {run} {k}".encode())
            (contest.runs / run / f"fold{k}/last.pt").write_bytes(b"only needed for training")
            (contest.runs / run / f"fold{k}/DONE").write_text("{}")
        (contest.runs / run / "config.yaml").write_text("n_folds: 2\n")
    folder = contest.ensembles / "blend"
    folder.mkdir(parents=True)
    members = [{"name": run, "runs": [run], "weight": weight} for run, weight in (("a", 0.25), ("b", 0.75), ("c", 0.0))]
    (folder / "weights.json").write_text(json.dumps({"oof_score": 0.81, "nested_score": 0.79, "members": members}))
    (folder / "test.npz").write_bytes(b"test predictions")
    answers = pd.read_csv(tiny.answers, dtype=str)
    answers[["id", "label"]].to_csv(folder / "submission.csv", index=False)


def says(method: str, **content: object) -> Callable[[Request], Response | None]:
    """A fault: the API's `method` answers this, with status 200."""
    answer = Response(200, json.dumps(content).encode(), {"Content-Type": "application/json"})
    return lambda request: answer if request.path.endswith(f"/{method}") else None


def test_packed_pushed_run_submitted_and_scored(served, monkeypatch, capsys):
    submit_notebook(served.contest)
    assert "OOF 0.81000   nested 0.79000   public 1.00000" in capsys.readouterr().out
    [entry] = read_ledger(served.contest.ledger_file)
    assert (entry.ensemble, entry.status, entry.public_score) == ("blend", "complete", 1.0)
    [submission] = served.kaggle.contest.submissions
    assert submission.description == f"[{entry.tag}] blend accuracy OOF 0.81000 nested 0.79000"
    notebooks = served.kaggle.notebooks
    [[(dataset, held)], [(kernel, versions)]] = notebooks.datasets.items(), notebooks.kernels.items()
    assert (dataset, kernel) == ("demo/tiny-contest-ensemble-weights", "demo/tiny-contest-ensemble-inference")
    assert [version.offline for version in versions] == [True]

    # Done once, nothing is done again.
    served.asked.clear()
    submit_notebook(served.contest)
    assert "it is not sent again" in capsys.readouterr().out
    assert set(served.asked) <= {"IntrospectToken", "ListSubmissions", "DownloadLeaderboard"}

    # Another ensemble is the next version of both; the message is the user's. The notebook waits for its own weights,
    # although those of the version before are ready.
    monkeypatch.setattr(local_notebooks, "PROCESSING", ("READY", "BLOBS_RECEIVED"))
    pushed = []
    served.fault = lambda request: pushed.append(list(held.steps)) if request.path.endswith("/SaveKernel") else None
    (served.contest.runs / "a/fold0/weights.safetensors").write_bytes(b"better")
    submit_notebook(served.contest, "blend", '-m, "better"', gpu=False)
    assert "CreateDatasetVersion" in served.asked and "CreateDataset" not in served.asked
    assert (len(held.versions), len(versions), pushed) == (2, 2, [[]])
    assert served.kaggle.contest.submissions[0].description.endswith('] -m, "better"')
    metadata = json.loads((served.contest.ensembles / "blend/notebook/kernel/kernel-metadata.json").read_text())
    assert metadata["enable_gpu"] is False and metadata["enable_internet"] is False


def test_what_the_cli_calls_a_success_is_found_out_and_the_same_command_goes_on(served, monkeypatch):
    """At every step the CLI ends with status 0, or Kaggle changes its mind later; nothing finished is done again."""
    monkeypatch.setattr(deliver_module, "LISTING_ATTEMPTS", 1)
    contest = served.contest

    def fails(
        message: str, fault: Callable[[Request], Response | None], *, asks: str = "", not_again: str = ""
    ) -> None:
        served.fault = fault
        served.asked.clear()
        with pytest.raises(KaggleError, match=f"(?s){message}"):
            submit_notebook(contest)
        assert asks in served.asked or not asks
        assert not set(not_again.split()) & set(served.asked)
        assert served.kaggle.contest.submissions == []

    served.fault = says("CreateDataset", status="error", error="Too many datasets")
    where = ["-c", contest.name, "--data", str(contest.data), "--runs", str(contest.runs.parent)]
    done = subprocess.run(
        [sys.executable, "-m", "competition", "notebook", *where], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "Too many datasets. If that does not" in done.stderr
    assert "Traceback" not in done.stderr

    fails("not created: .*pload unsuccessful", lambda request: Response(500) if request.method == "PUT" else None)
    monkeypatch.setattr(local_notebooks, "PROCESSING", ("BLOBS_RECEIVED", "FAILED"))
    fails("its status is failed.*kaggle.com/datasets/demo/", lambda _: None, asks="CreateDataset")
    monkeypatch.setattr(local_notebooks, "PROCESSING", ("BLOBS_RECEIVED", "BLOBS_RECEIVED"))
    monkeypatch.setattr(push_module, "DATASET_TIMEOUT", 0.0)
    fails("waited 0 minutes.*goes on from there", lambda _: None, asks="CreateDatasetVersion")
    monkeypatch.setattr(push_module, "DATASET_TIMEOUT", 60.0)

    dataset = "CreateDataset CreateDatasetVersion"
    taken = 'The requested title "x" is already in use'
    fails("already in use.*rename", says("SaveKernel", error=taken), not_again=dataset)
    fails("30 hours.*--cpu", says("SaveKernel", error="Maximum GPU quota of 30 hours reached"), not_again=dataset)
    left_out = says("SaveKernel", versionNumber=1, invalidCompetitionSources=["tiny-contest"])
    fails("its competition:.*competitions/tiny-contest/rules", left_out, not_again=dataset)
    failed = says("GetKernelSessionStatus", status="ERROR", failureMessage="CUDA out of memory")
    fails("ended with ERROR: CUDA out of memory.*logs demo/", failed, asks="SaveKernel", not_again=dataset)
    refused = says("CreateCodeSubmission", message="Not today")
    fails("not list.*said: Not today", refused, asks="SaveKernel", not_again=dataset)

    # A score that does not come is looked up the next time, and nothing else is done.
    served.fault = lambda _: None
    monkeypatch.setattr(local_contest, "PENDING", timedelta(days=1))
    monkeypatch.setattr(notebook_module, "RERUN_TIMEOUT", 0.5)
    with pytest.raises(KaggleError, match="It is not lost"):
        submit_notebook(contest)
    monkeypatch.setattr(local_contest, "PENDING", timedelta(0))
    served.asked.clear()
    submit_notebook(contest)
    assert set(served.asked) == {"IntrospectToken", "ListSubmissions", "DownloadLeaderboard"}
    assert [entry.status for entry in read_ledger(contest.ledger_file)] == ["complete"]


def test_an_account_without_a_name_gets_the_fix(tmp_path, monkeypatch):
    monkeypatch.setattr(push_module, "run_kaggle", lambda *_, **__: "- username: None\n- auth_method: OAUTH\n")
    with pytest.raises(KaggleError, match="set KAGGLE_USERNAME"):
        push_module.account(make_contest(tmp_path).contest())


def test_pack_only_asks_nobody_and_packs_what_is_needed(served, tmp_path):
    served.fault = lambda request: pytest.fail(f"asked {request.path}")
    submit_notebook(served.contest, pack_only=True)
    folder = served.contest.ensembles / "blend/notebook"
    with zipfile.ZipFile(folder / "dataset/packed.zip") as archive:
        names = set(archive.namelist())
    runs = {f"runs/{run}/fold{k}/{name}" for run in "ab" for k in range(2) for name in ("DONE", "weights.safetensors")}
    assert {name for name in names if name.startswith("runs/")} == runs | {"runs/a/config.yaml", "runs/b/config.yaml"}
    assert {"code/pipeline/packed.py", "code/models/__init__.py", "weights.json", "contest.yaml"} <= names
    nbformat.validate(nbformat.read(folder / "kernel/inference.ipynb", as_version=4))
    before = (folder / "dataset/packed.zip").read_bytes()
    submit_notebook(served.contest, pack_only=True)
    assert (folder / "dataset/packed.zip").read_bytes() == before

    # The notebook refuses weights of another version, and says which input is missing, before anything is loaded.
    cells = [cell["source"] for cell in json.loads((folder / "kernel/inference.ipynb").read_text())["cells"]]
    (tmp_path / "input/tiny-contest").mkdir(parents=True)
    for problem in ("attach it with Add Input", "is not of this notebook's version"):
        done = subprocess.run(
            [sys.executable, "-I", "-c", "\n".join(cells[1:3])],
            env={"KIT_INPUT": str(tmp_path / "input")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1 and problem in done.stderr
        (tmp_path / "input/tiny-contest-ensemble-weights").mkdir(exist_ok=True)
        (tmp_path / "input/tiny-contest-ensemble-weights/packed.json").write_text('{"digest": "another"}')


def test_a_missing_file_is_named_before_anything_is_sent(served):
    served.fault = lambda request: pytest.fail(f"asked {request.path}")
    with pytest.raises(SubmissionError, match=r"no ensemble 'nosuch' in .*; there are: blend"):
        submit_notebook(served.contest, "nosuch")
    (served.contest.runs / "b/fold1/DONE").unlink()
    with pytest.raises(DataError, match=r"b/fold1/DONE is missing.*ensemble\.py -c \S*tiny"):
        submit_notebook(served.contest)
    (served.contest.ensembles / "blend/weights.json").write_text('{"weights": {"a": 1}}')
    with pytest.raises(DataError, match=r"does not describe a blend.*make the ensemble again"):
        submit_notebook(served.contest)


@pytest.mark.parametrize(
    "kaggle", ["short-one", "a", "x" * 80, "a-contest-whose-name-goes-on--and-on-for-longer-than-fits"]
)
def test_names_are_what_kaggle_allows(served, kaggle):
    contest = replace(served.contest, spec=served.contest.spec.model_copy(update={"kaggle": kaggle}))
    packed = pack(contest, served.contest.ensembles / "blend", gpu=True)
    for slug in (packed.dataset_slug, packed.kernel_slug):
        assert 6 <= len(slug) <= 50 and "--" not in slug and slug.strip("-") == slug
