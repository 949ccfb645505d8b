"""The README's commands are typed here as they stand, on a contest of the real one's shape with a few tiny images."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import yaml

ROOT = Path(__file__).parent.parent
QUICK = " --set schedule.epochs=1 schedule.warmup_epochs=0 batch_size=8"


def block(marker: str) -> list[str]:
    """The commands of the README's code block after the comment that begins with `marker`."""
    found = re.search(rf"<!-- {marker}.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [re.sub(r"(^|\s+)#.*", "", line) for line in found[1].splitlines()]
    return [line for line in lines if line]


def make_archive(folder: Path) -> None:
    """contest.zip and answers.csv with the tables of the UniBuc contest: 50 training and 10 test images of 32×32."""
    rng = np.random.default_rng(0)
    tables = {
        "train": "image_id,label\n",
        "test": "image_id\n",
        "answers": "image_id,label\n",
        "sample": "image_id,label\n",
    }
    with zipfile.ZipFile(folder / "contest.zip", "w") as archive:
        for part, count in (("train", 50), ("test", 10)):
            for i in range(count):
                name, label = f"{part}-{i:03}", i % 5
                image = rng.integers(0, 60 + 40 * label, (32, 32, 3), dtype=np.uint8)
                archive.writestr(f"{part}/{name}.png", cv2.imencode(".png", image)[1].tobytes())
                tables["train" if part == "train" else "answers"] += f"{name},{label}\n"
                tables["test"] += f"{name}\n" * (part == "test")
                tables["sample"] += f"{name},0\n" * (part == "test")
        archive.writestr("train.csv", tables["train"])
        archive.writestr("test.csv", tables["test"])
        archive.writestr("sample_submission.csv", tables["sample"])
    (folder / "answers.csv").write_text(tables["answers"])


def make_kit(kit: Path) -> None:
    """A copy of what a user has."""
    for name in ("competition", "folds", "blending", "models", "pipeline", "launch", "recipes"):
        shutil.copytree(ROOT / name, kit / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "infer.py", "ensemble.py", "submit.sh", "requirements.txt"):
        shutil.copy(ROOT / name, kit / name)


def run(kit: Path, commands: list[str], *before: str) -> str:
    """Type the commands as a new user would, behind the command `before`; return what they print."""
    (kit / "commands.sh").write_text("set -ex\n" + "\n".join(commands) + "\n")
    home = kit / "home"
    home.mkdir()
    keep = {name: os.environ[name] for name in ("LANG", "SSL_CERT_FILE", "TMPDIR") if name in os.environ}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    quiet = {"OMP_NUM_THREADS": "1", "TRAIN_CORES": "1", "WANDB_MODE": "offline"}
    environment = keep | {"HOME": str(home), "PATH": path} | quiet
    done = subprocess.run(
        [*before, "bash", "commands.sh"], cwd=kit, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_walkthrough_runs_as_printed(tmp_path):
    kit = tmp_path / "kit"
    make_kit(kit)
    make_archive(kit)
    commands = [line + QUICK * line.startswith("python train.py") for line in block("walkthrough")]
    assert len(commands) == 13
    commands += block("compare") + block("notebook")
    quick = QUICK.replace(" --set", " --fold 0 --set")
    sweep = kit / "recipes/sweeps/trace-resnet-regularisation.yaml"  # one of its points; test_sweep.py builds them all
    sweep.write_text(sweep.read_text().partition("  - {loss")[0])
    commands += [line + quick * line.startswith("python train.py") for line in block("launchers")]
    offline = [line for line in block("offline") if not line.startswith("wandb leet runs")]
    old = tuple(map(int, version("wandb").split(".")[:2])) < (0, 31)
    commands += [line for line in offline if not (old and "inspect" in line)]
    serve = "-m competition serve -c unibuc-deepfake --zip contest.zip --answers answers.csv --"
    printed = run(kit, commands, sys.executable, *serve.split())
    assert re.search(r"accuracy +OOF [\d.]+ +nested [\d.]+ +public [\d.]+", printed)
    assert (kit / "runs/unibuc-deepfake/compare.png").is_file()
    assert (kit / "runs/unibuc-deepfake/plain-cnn-s0/worst.png").is_file()
    ledger = (kit / "runs/unibuc-deepfake/ledger.csv").read_text()
    assert "complete" in ledger and "first blend" in ledger
    assert len(list((kit / "runs/unibuc-deepfake").glob("trace-resnet-regularisation-*/fold0/DONE"))) == 1
    assert ledger.count("\n") == 3  # the submission and the notebook; the dry run left no row


def test_a_contest_is_drafted_and_rehearsed_as_printed(tmp_path):
    kit = tmp_path / "kit"
    make_kit(kit)
    like = (kit / "competition/specs/aptos2019-blindness-detection.yaml").read_text()
    (kit / "theirs.yaml").write_text(like.replace("aptos2019-blindness-detection", "my-contest"))
    (kit / "draft.sh").write_text("\n".join(block("draft")))
    kaggle = "python -m competition serve -c ./theirs.yaml --zip made.zip --answers made.answers.csv --"
    commands = ["python -m competition list", "python -m competition fake -c ./theirs.yaml --rows 30 --out made"]
    printed = run(kit, [*commands, f"{kaggle} bash -e draft.sh", *block("rehearsal")])
    assert (kit / "data/my-contest/train.csv").is_file()
    assert "siim-isic-melanoma-classification" in printed
    assert (kit / "runs/my-contest/check.png").is_file()
    assert re.search(r"mean_column_auc +OOF [\d.]+ +nested [\d.]+ +public [\d.]+", printed)


def test_the_examples_of_clusters_are_sound():
    """Neither Slurm nor Kubernetes is here: only that shell and YAML read them, and that train.py has the options."""
    text = (ROOT / "docs/clusters.md").read_text()
    (script,) = re.findall(r"<!-- slurm.*?```sh\n(.*?)```", text, re.DOTALL)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    (manifest,) = re.findall(r"<!-- kubernetes.*?```yaml\n(.*?)```", text, re.DOTALL)
    entrypoint = yaml.safe_load(manifest)["spec"]["entrypoint"]
    shown = subprocess.run([sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True).stdout
    used = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", "\n".join(re.findall(r"train\.py(.*)", f"{text}\n{entrypoint}"))))
    assert {"--launcher", "--seed", "-c", "-r", "--runs", "--data"} <= used
    assert not [option for option in used if option not in shown]
