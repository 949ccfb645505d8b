"""The doctor, on machines and accounts that lack something: the real CLI, wandb and torch, each fault provoked."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support import make_contest

from competition.contest import Contest, open_contest
from competition.doctor import machine
from competition.doctor.account import account
from competition.doctor.line import Line
from competition.kaggle.command import run_kaggle
from competition.kaggle.credentials import credential_source, find_credentials
from competition.stand_in.contest import LocalContest
from competition.stand_in.server import API, KEY, USER, LocalKaggle, Request, Response, environment, running
from pipeline.device import arithmetic

ROOT = Path(__file__).parent.parent
STALE = "KGAT_0123456789abcdef"
GOOD_KEYS = {"username": USER, "key": KEY}
DENIED = Response(403, b'{"code": 403, "message": "You must accept the rules"}', {"Content-Type": "application/json"})


@dataclass
class Account:
    """A contest on a local Kaggle, to which this process's environment leads: in an empty home, without credentials.

    `fault` may answer in Kaggle's stead; `asked` holds the requests.
    """

    contest: Contest
    home: Path
    asked: list[Request]
    fault: Callable[[str], Response | None] = lambda _: None

    def lines(self) -> list[Line]:
        return list(account(self.contest))

    def write(self, name: str, content: str | dict, mode: int = 0o600) -> Path:
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        file.chmod(mode)
        return file


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    tiny = make_contest(tmp_path, n_train=3, n_test=3)
    server = LocalKaggle(LocalContest(tiny.contest().spec, tiny.archive, tiny.answers, tmp_path / "state"))
    kaggle = Account(tiny.contest(), tmp_path / "home", [])
    kaggle.home.mkdir()
    honest = server.respond

    def respond(request: Request) -> Response:
        kaggle.asked.append(request)
        return kaggle.fault(request.path.removeprefix(API)) or honest(request)

    server.respond = respond
    for name in [name for name in os.environ if name.startswith(("KAGGLE_", "WANDB_"))]:
        monkeypatch.delenv(name)
    with running(server) as port:
        for name, value in {
            **environment(port),
            "HOME": str(kaggle.home),
            "WANDB_BASE_URL": "http://127.0.0.1:9",
        }.items():
            monkeypatch.setenv(name, value)
        for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
            monkeypatch.delenv(name)
        yield kaggle


def doctor(*arguments: str, python: tuple[str, ...] = (), **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *python, "-m", "competition", "doctor", *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


def found(lines: list[Line], name: str) -> Line:
    [line] = [line for line in lines if line.name == name]
    return line


def marks(lines: list[Line]) -> dict[str, str]:
    return {line.name: line.mark for line in lines}


def test_all_is_well(kaggle, tmp_path):
    kaggle.write(".kaggle/access_token", f"{KEY}\n")
    spec = str(tmp_path / "tiny.yaml")
    done = doctor("-c", spec, "--runs", str(tmp_path), WANDB_MODE="offline")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout and done.stdout.splitlines()[-1].startswith("ready")
    lines = {line[2:14].strip(): line[15:] for line in done.stdout.splitlines()}
    assert lines["torch"].startswith(f"{torch.__version__} on ")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        taken = str(arithmetic(torch.device("cpu"), "auto")).removeprefix("torch.")
        assert lines["precision"].startswith(f"auto takes {taken} here")
    assert lines["kaggle CLI"].startswith("2.")
    assert lines["credentials"] == "the token in ~/.kaggle/access_token, accepted by Kaggle"
    assert lines["rules"] == "accepted: you have joined the contest"
    assert lines["submissions"] == "5 left today, 0 made"
    assert lines["W&B"].endswith("offline, as asked")
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("where", ["KAGGLE_API_TOKEN", ".kaggle/access_token"])
def test_a_stale_token_is_named_together_with_the_good_keys_it_hides(kaggle, monkeypatch, where):
    kaggle.write(".kaggle/kaggle.json", GOOD_KEYS)
    if where == "KAGGLE_API_TOKEN":
        monkeypatch.setenv(where, STALE)
        place, fix = where, "unset KAGGLE_API_TOKEN"
    else:
        kaggle.write(where, STALE)
        place, fix = "~/.kaggle/access_token", "rm ~/.kaggle/access_token"
    [_, line] = kaggle.lines()
    assert line.mark == "✗" and line.fix == fix
    assert line.text == f"Kaggle refuses the token in {place}, which hides the keys in ~/.kaggle/kaggle.json"

    monkeypatch.delenv("KAGGLE_API_TOKEN", raising=False)
    (kaggle.home / ".kaggle/access_token").unlink(missing_ok=True)
    assert found(kaggle.lines(), "credentials").mark == "✓"


def test_refused_credentials_end_with_status_2_and_no_secret(kaggle, tmp_path):
    kaggle.write(".kaggle/kaggle.json", GOOD_KEYS | {"key": "0123456789abcdef"})
    arguments = ("-c", str(tmp_path / "tiny.yaml"))
    torchless = kaggle.write("fake/torch/__init__.py", "raise OSError('libcudart.so.12: cannot open shared object')")
    fake = str(torchless.parent.parent)
    done = doctor(*arguments, KAGGLE_USERNAME="other", PYTHONPATH=fake, WANDB_API_KEY="w" * 40)
    assert done.returncode == 2
    assert (
        "Kaggle refuses the keys in ~/.kaggle/kaggle.json with KAGGLE_USERNAME for its username, "
        "which hide the keys in ~/.kaggle/kaggle.json\n               → unset KAGGLE_USERNAME\n" in done.stdout
    )
    assert "does not work: OSError: libcudart.so.12: cannot open shared object\n" in done.stdout
    assert "2 of " in done.stderr and "Traceback" not in done.stdout + done.stderr
    assert "0123456789abcdef" not in done.stdout + done.stderr and "www" not in done.stdout.replace("www.kaggle", "")

    done = doctor(KAGGLE_USERNAME="other", PYTHONPATH=fake)
    assert "! credentials  Kaggle refuses" in done.stdout and "1 of " in done.stderr


@pytest.mark.parametrize(
    ("files", "variables", "text"),
    [
        ({}, {}, "none found"),
        ({}, {"KAGGLE_USERNAME": USER}, "KAGGLE_USERNAME is set, but KAGGLE_KEY is not"),
        ({".kaggle/kaggle.json": "{'username': 'demo'}"}, {}, "~/.kaggle/kaggle.json is not JSON with a username"),
        ({}, {"KAGGLE_API_TOKEN": f"{STALE}\nabcdefgh"}, "the token in KAGGLE_API_TOKEN has a line break"),
        ({}, {"KAGGLE_API_TOKEN": "~/.kaggle/token"}, "the token in KAGGLE_API_TOKEN looks like a path"),
        ({".kaggle/access_token": json.dumps(GOOD_KEYS)}, {}, "the token in ~/.kaggle/access_token is JSON"),
    ],
)
def test_credentials_that_cannot_work_are_told_without_asking(kaggle, monkeypatch, files, variables, text):
    for name, content in files.items():
        kaggle.write(name, content)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    kaggle.fault = lambda path: None if "Introspect" in path else pytest.fail("asked")
    [_, line] = kaggle.lines()
    assert (line.mark, line.name) == ("✗", "credentials") and text in line.text
    assert "kaggle.com/settings/api" in line.fix
    assert STALE not in str(line) and "abcdefgh" not in str(line) and KEY not in str(line)


def test_what_other_users_may_read_or_replace_is_told(kaggle):
    file = kaggle.write(".kaggle/kaggle.json", GOOD_KEYS, 0o644)
    file.parent.chmod(0o777)
    lines = kaggle.lines()
    assert [line.fix for line in lines if line.name == "permissions"] == [
        "chmod 600 ~/.kaggle/kaggle.json",
        "chmod go-w ~/.kaggle",
    ]
    assert found(lines, "credentials").mark == "✓" and KEY not in "".join(map(str, lines))
    file.chmod(0o600)
    file.parent.chmod(0o755)
    assert "permissions" not in marks(kaggle.lines())


def limits(left: int, today: int, total: int) -> Response:
    content = {"numAllowedNow": left, "numToday": today, "numTotal": total}
    return Response(200, json.dumps(content).encode(), {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"ListDataFiles": DENIED}, {"rules": "✗"}),
        ({"GetSubmissionLimits": limits(0, 0, 0), "DownloadDataFile": DENIED}, {"contest": "✓", "rules": "✗"}),
        ({"GetSubmissionLimits": limits(0, 0, 0)}, {"contest": "✓", "rules": "!"}),
        ({"GetSubmissionLimits": DENIED}, {"contest": "✓", "rules": "✓", "submissions": "!"}),
        ({"GetSubmissionLimits": limits(0, 5, 9)}, {"contest": "✓", "rules": "✓", "submissions": "!"}),
    ],
)
def test_the_rules_and_what_is_left(kaggle, answers, expected):
    kaggle.write(".kaggle/kaggle.json", GOOD_KEYS)
    kaggle.fault = answers.get
    lines = kaggle.lines()
    assert marks(lines) == {"kaggle CLI": "✓", "credentials": "✓"} | expected
    if expected["rules"] == "✗":
        assert found(lines, "rules").fix == "join the contest on https://www.kaggle.com/competitions/tiny-contest/rules"
    assert not any("DownloadDataFiles" in request.path for request in kaggle.asked)


def test_a_contest_that_kaggle_does_not_know(kaggle):
    kaggle.write(".kaggle/kaggle.json", GOOD_KEYS)
    other = replace(kaggle.contest, spec=kaggle.contest.spec.model_copy(update={"kaggle": "another"}))
    line = list(account(other))[-1]
    assert (line.mark, line.name) == ("✗", "contest") and "knows no 'another' (404)" in line.text


def test_a_secret_that_the_cli_repeats_is_not_shown(kaggle):
    kaggle.write(".kaggle/kaggle.json", GOOD_KEYS)
    echo = json.dumps({"code": 400, "message": f"bad request of {USER}:{KEY}"}).encode()
    kaggle.fault = lambda _: Response(400, echo, {"Content-Type": "application/json"})
    line = kaggle.lines()[-1]
    assert (line.mark, line.name) == ("✗", "contest") and f"bad request of {USER}:***" in line.text


@pytest.mark.usefixtures("kaggle")
def test_the_kits_own_contest_needs_no_account(monkeypatch):
    monkeypatch.delenv("KAGGLE_API_ENVIRONMENT")
    [_, line] = account(open_contest("deepfake-digits"))
    assert line.mark == "!" and "serve -c deepfake-digits -- COMMAND" in line.fix


def test_no_network(kaggle, monkeypatch):
    kaggle.write(".kaggle/access_token", KEY)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://user:pass@127.0.0.1:9")
    lines = kaggle.lines()
    assert marks(lines) == {"kaggle CLI": "✓", "credentials": "!", "contest": "✗"}
    assert lines[-1].text.startswith("Kaggle cannot be reached") and "http_proxy" in lines[-1].fix
    assert "pass" not in "".join(map(str, lines))
    assert marks(list(account(None)))["Kaggle"] == "!"


def test_the_order_of_credentials_is_the_clis_own(kaggle, monkeypatch):
    """Each of them in turn is what the CLI sends, once those before it are gone."""
    expiry = "2099-01-01T00:00:00+00:00"
    login = {"refresh_token": "refresh", "access_token": "login-token", "access_token_expiration": expiry}
    kaggle.write(".kaggle/credentials.json", login | {"username": USER})
    kaggle.write(".kaggle/kaggle.json", {"username": "of-file", "key": "file-key"})
    kaggle.write(".kaggle/access_token.txt", "txt-token")
    kaggle.write(".kaggle/access_token", "file-token")
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(kaggle.write("mine", "named-token")))
    monkeypatch.setenv("KAGGLE_USERNAME", "of-environment")
    monkeypatch.setenv("KAGGLE_KEY", "environment-key")
    active = Response(
        200, json.dumps({"active": True, "username": USER}).encode(), {"Content-Type": "application/json"}
    )
    kaggle.fault = lambda path: active if path.endswith("IntrospectToken") else None
    seen = []
    while all_found := find_credentials():
        kaggle.asked.clear()
        with pytest.raises(Exception, match="refused"):
            run_kaggle(None, "competitions", "list", "--csv", timeout=30)
        scheme, _, sent = kaggle.asked[-1].headers["authorization"].partition(" ")
        sent = base64.b64decode(sent).decode().partition(":")[2] if scheme == "Basic" else sent
        assert sent in all_found[0].secrets
        assert credential_source() == all_found[0].place
        seen.append(sent)
        command, *what = all_found[0].without.split()
        for name in what if command == "unset" else []:
            monkeypatch.delenv(name)
        if command != "unset":
            all_found[0].file.unlink()
    assert seen == ["named-token", "file-token", "txt-token", "environment-key", "file-key", "login-token"]


def test_the_folder_of_kaggle_json(kaggle, monkeypatch):
    (kaggle.home / ".kaggle").mkdir(exist_ok=True)
    kaggle.write("config/kaggle.json", GOOD_KEYS)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(kaggle.home / "config"))
    assert found(list(account(None)), "credentials").text == "the keys in ~/config/kaggle.json, accepted by Kaggle"
    monkeypatch.delenv("KAGGLE_CONFIG_DIR")
    shutil.rmtree(kaggle.home / ".kaggle")
    kaggle.write(".config/kaggle/kaggle.json", GOOD_KEYS)
    expected = "~/.config/kaggle/kaggle.json" if sys.platform == "linux" else "none found"
    assert expected in found(kaggle.lines(), "credentials").text


def test_a_python_without_packages_is_told_so():
    done = doctor(python=("-S",), PYTHONPATH="")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "✗ packages     missing: torch, torchvision, timm" in done.stdout


def test_packages_that_are_too_old_or_disturb_each_other(tmp_path, monkeypatch):
    for name, version in (("timm", "0.9.16"), ("pytest", "1.0"), ("opencv_python", "4.11")):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    [line] = machine.packages()
    assert line.mark == "✗" and line.text.startswith("timm 0.9.16 is older than 1.0.27; pytest 1.0 is older than")
    [line] = machine.opencv()
    assert line.mark == "!" and "opencv-python and opencv-python-headless" in line.text
    shutil.rmtree(tmp_path / "timm-0.9.16.dist-info")
    assert [line.mark for line in machine.packages()] == ["!"]


@pytest.mark.parametrize(("free", "mark"), [(8e9, "!"), (1e9, "✗"), (50e9, "✓")])
def test_disk(tmp_path, monkeypatch, free, mark):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    [line] = machine._disk([tmp_path / "data" / "tiny", tmp_path / "runs"])
    assert line.mark == mark and line.text.startswith(f"{free / 1e9:.1f} GB free for {tmp_path}/data/tiny and ")


def test_a_gpu_that_torch_does_not_see(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    line = next(machine.torch())
    assert line.mark == "!" and "an NVIDIA GPU is here, but torch" in line.text


def test_wandb_is_never_a_failure(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    [line] = machine.wandb()
    assert line.mark == "!" and "wandb login" in line.fix

    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    [line] = machine.wandb()
    assert line.mark == "!" and "cannot be reached" in line.text and "0123456789" not in str(line)
