"""This machine: Python and its packages, torch and its device, memory, disk, W&B. The standard library is enough here.

What torch and wandb say, they are asked in processes of their own, by the very functions that training calls.
"""

import importlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from competition.doctor.line import FINE, LOOK, STOP, Line

if TYPE_CHECKING:
    from competition.contest import Contest

ROOT = Path(__file__).parent.parent.parent
OLDEST_PYTHON = (3, 11)
NOT_FOR_THE_MAIN_JOB = ("wandb", "py7zr", "pytest", "pytest-xdist", "hypothesis", "nbclient", "ipykernel")
OPENCVS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")

ENOUGH_DISK, TOO_LITTLE_DISK = 10e9, 2e9  # an image contest with its cache and runs; the demo with room for a fold
ENOUGH_MEMORY = 2e9
MEMORY_FILES = (Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))
TORCH_TIMEOUT = 90.0  # from a cold, slow disk; usually two or three seconds
WANDB_TIMEOUT = 30.0


def python() -> Line:
    if sys.version_info < OLDEST_PYTHON:
        fix = "rm -r .venv, then make setup PYTHON=python3.12"
        return Line(STOP, "Python", f"{platform.python_version()}; 3.11 or newer is needed", fix)
    return Line(FINE, "Python", f"{platform.python_version()}  {sys.executable}")


def packages() -> Iterator[Line]:
    """The packages of requirements.txt: those that are missing, and those that are too old."""
    file = ROOT / "requirements.txt"
    if not file.is_file():
        yield Line(LOOK, "packages", f"not compared: {file} is not there")
        return
    wanted = re.findall(r"^([\w.-]+)>=([\d.]+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    missing = [name for name, _ in wanted if not _version(name)]
    old = {
        name: oldest for name, oldest in wanted if name not in missing and _numbers(_version(name)) < _numbers(oldest)
    }
    if not missing and not old:
        yield Line(FINE, "packages", f"all {len(wanted)} of requirements.txt")
        return
    wrong = [f"missing: {', '.join(missing)}"] if missing else []
    wrong += [f"{name} {_version(name)} is older than {oldest}" for name, oldest in old.items()]
    fix = f"{sys.executable} -m pip install -r {file}"
    if sys.prefix == sys.base_prefix:  # not in a virtual environment: perhaps the kit's own was only forgotten
        made = (ROOT / ".venv/bin/activate").is_file()
        fix = "source .venv/bin/activate" if made else f"make setup && source .venv/bin/activate, or: {fix}"
    needed = {*missing, *old} - {*NOT_FOR_THE_MAIN_JOB}
    yield Line(STOP if needed else LOOK, "packages", "; ".join(wrong), fix)


def opencv() -> Iterator[Line]:
    """Several OpenCVs share one folder: whichever was installed last has overwritten the others' files."""
    found = [name for name in OPENCVS if _version(name)]
    if len(found) > 1:
        try:
            importlib.import_module("cv2")
            mark, text = LOOK, f"{' and '.join(found)} share a folder, and break each other when one changes"
        except Exception as error:
            mark, text = STOP, f"{' and '.join(found)} have broken each other: {type(error).__name__}: {error}"
        fix = f"pip uninstall -y {' '.join(found)} && pip install opencv-python-headless"
        yield Line(mark, "opencv", text, fix)


def torch() -> Iterator[Line]:
    if not _version("torch"):
        return  # named among the packages
    facts, problem = _ask("-m", "pipeline.device", timeout=TORCH_TIMEOUT)
    if facts is None:
        fix = "pip install --force-reinstall torch torchvision; for a GPU, see https://pytorch.org/get-started/locally"
        if "holds no code for" in problem:
            fix = "install an earlier torch, for an earlier CUDA: https://pytorch.org/get-started/previous-versions"
        yield Line(STOP, "torch", f"{_version('torch')} does not work: {problem}", fix)
        return
    version = facts["version"]
    if facts["type"] == "cuda":
        text = f"{version} on {facts['name']}, {facts['free'] / 1e9:.0f} GB free of {facts['memory'] / 1e9:.0f}"
        crowded = facts["free"] < ENOUGH_MEMORY
        fix = "see who uses the GPU with nvidia-smi, or choose another with CUDA_VISIBLE_DEVICES" if crowded else ""
        yield Line(LOOK if crowded else FINE, "torch", text, fix)
    elif facts["type"] == "cpu" and shutil.which("nvidia-smi"):
        because = f" ({problem})" if problem else ""
        fix = "compare the driver (nvidia-smi) and CUDA_VISIBLE_DEVICES with what torch expects"
        if facts["cuda"] is None:
            because, fix = ", which is built without CUDA", "get one with CUDA: https://pytorch.org/get-started/locally"
        yield Line(LOOK, "torch", f"an NVIDIA GPU is here, but torch {version} does not see it{because}", fix)
    else:
        count = facts["threads"]
        yield Line(FINE, "torch", f"{version} on {facts['name']}, {count} thread{'s' * (count != 1)}")
    native = "native" if facts["native_bfloat16"] else "not native"
    yield Line(FINE, "precision", f"auto takes {facts['precision']} here; bfloat16 is {native}")


def resources(contest: "Contest | None") -> Iterator[Line]:
    yield from _memory()
    yield from _disk([contest.data, contest.runs] if contest else [Path("data"), Path("runs")])


def wandb() -> Iterator[Line]:
    version = _version("wandb")
    if not version:
        return  # named among the packages
    code = "import json; from pipeline.tracking import resolve_mode; print(json.dumps(resolve_mode('auto')))"
    answer, problem = _ask("-c", code, timeout=WANDB_TIMEOUT)
    if answer is None:
        yield Line(
            LOOK, "W&B", f"{version} does not work: {problem}", "pip install --upgrade wandb; or --wandb disabled"
        )
        return
    mode, reason = answer
    text = f"{version}, {reason.removeprefix('W&B: ')}"
    if mode == "online" or "as asked" in reason or "has set it" in reason:
        yield Line(FINE, "W&B", text)
    elif "wandb login" in reason:
        yield Line(LOOK, "W&B", text, "wandb login, if you want to see runs in the browser")
    else:
        yield Line(LOOK, "W&B", text, "runs stay in runs/ meanwhile; `wandb sync` uploads them later")


def _ask(*arguments: str, timeout: float) -> tuple[Any, str]:
    """What a Python of its own prints as JSON, or None; and the last line of its complaints, or how it ended."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {timeout:.0f} s"
    complaints = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    problem = complaints[-1][:200] if complaints else ""
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), problem
    if done.returncode < 0:
        return None, f"it was ended by {signal.Signals(-done.returncode).name}"
    return None, problem or f"exit status {done.returncode}"


def _version(package: str) -> str:
    """The installed version; empty if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> list[int]:
    """2.6.0+cu124 as [2, 6]: trailing zeros mean nothing."""
    numbers = [int(number) for number in re.match(r"[\d.]*\d", version)[0].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers


def _memory() -> Iterator[Line]:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return
    total = free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo, limit, used = (_text(file) for file in MEMORY_FILES)
    if found := re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, flags=re.MULTILINE):
        free = int(found[1]) * 1024
    if limit.isdigit():  # of a container
        total = min(total, int(limit))
        free = min(free, total - int(used or 0))
    text = f"{free / 1e9:.1f} GB available of {total / 1e9:.1f}"
    if free < ENOUGH_MEMORY:
        yield Line(LOOK, "memory", text, "end other programs, or lower batch_size; training needs about 2 GB")
    else:
        yield Line(FINE, "memory", text)


def _text(file: Path) -> str:
    return file.read_text().strip() if file.is_file() else ""


def _disk(folders: list[Path]) -> Iterator[Line]:
    """A line for each disk that holds one of the folders, or will."""
    disks: dict[int, list[Path]] = {}
    for folder in folders:
        existing = _existing(folder)
        disks.setdefault(existing.stat().st_dev, []).append(folder)
        if not os.access(existing, os.W_OK):
            fix = f"give yourself the right to write in {existing}, or use --data and --runs"
            yield Line(STOP, "disk", f"{folder} cannot be written", fix)
    for on_it in disks.values():
        free = shutil.disk_usage(_existing(on_it[0])).free
        text = f"{free / 1e9:.1f} GB free for {' and '.join(map(str, on_it))}"
        if free < ENOUGH_DISK:
            fix = "free some, or use --data and --runs on another disk; an image contest easily needs 10 GB"
            yield Line(STOP if free < TOO_LITTLE_DISK else LOOK, "disk", text, fix)
        else:
            yield Line(FINE, "disk", text)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
