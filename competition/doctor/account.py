"""The Kaggle account: the CLI, its credentials, whether they are accepted, and what the contest allows.

Kaggle is asked one thing after the other: two CLIs at once that renew a login write the same file.
"""

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from typing import Literal

from competition.contest import Contest
from competition.doctor.line import FINE, LOOK, STOP, Line
from competition.errors import KaggleError
from competition.kaggle.command import EMBEDDED, cli_version, kaggle_command, parse_csv, run_kaggle
from competition.kaggle.credentials import Credentials, find_credentials, redact, shown
from competition.kaggle.failures import AccessDenied, ContestUnknown, CredentialsRefused
from competition.kaggle.patience import Unreachable

TIMEOUT = 30.0
SMALL = 2**20  # a file that may be fetched just to see whether it may

LOG_IN = "get a token on https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token"


def account(contest: Contest | None) -> Iterator[Line]:
    """Without a contest nothing that Kaggle says stops the main job: the demo, for one, needs no account."""
    try:
        yield Line(FINE, "kaggle CLI", f"{cli_version()}  {kaggle_command()}")
    except KaggleError as error:
        text, fix = re.sub(": pip install .*?six", ".", _sentence(error)), "pip install --upgrade kaggle six"
        yield Line(STOP, "kaggle CLI", text, fix)
        return
    if contest is not None and contest.slug == EMBEDDED and os.environ.get("KAGGLE_API_ENVIRONMENT") != "LOCALHOST":
        fix = f"put the local Kaggle in front of each command: python -m competition serve -c {EMBEDDED} -- COMMAND"
        yield Line(LOOK, "contest", f"{EMBEDDED} is the kit's own, and needs no account", fix)
        return
    found = find_credentials()
    yield from _permissions(found)
    yield from _answers(contest, found) if any(each.taken for each in found) else [_nothing_found(contest, found)]


def _permissions(found: list[Credentials]) -> Iterator[Line]:
    if os.name == "nt":
        return
    files = dict.fromkeys(each.file for each in found if each.file)
    for file in files:
        if file.stat().st_mode & 0o077:
            yield Line(LOOK, "permissions", f"other users may open {shown(file)}", f"chmod 600 {shown(file)}")
    for folder in dict.fromkeys(file.absolute().parent for file in files):
        mode = folder.stat().st_mode
        if mode & 0o022 and not mode & stat.S_ISVTX:
            fix = f"chmod go-w {shown(folder)}"
            yield Line(LOOK, "permissions", f"other users may put their files into {shown(folder)}", fix)


def _nothing_found(contest: Contest | None, found: list[Credentials]) -> Line:
    mark = STOP if contest else LOOK
    if found:
        return Line(mark, "credentials", "; ".join(f"{each.place} {each.problem}" for each in found), f"or {LOG_IN}")
    return Line(mark, "credentials", "none found" + ("" if contest else "; the demo needs none"), LOG_IN)


def _answers(contest: Contest | None, found: list[Credentials]) -> Iterator[Line]:
    """What Kaggle says to the first of the credentials that the CLI takes."""
    mark = STOP if contest else LOOK
    taken, *hidden = [each for each in found if each.taken]
    name = f"the {taken.kind} in {taken.place}"
    if taken.problem:
        yield Line(mark, "credentials", f"{name} {taken.problem}", _way_on(taken, hidden))
        return
    said, problem = _ask(contest, *_listing(contest))
    if isinstance(problem, CredentialsRefused):
        verb = "hide" if taken.kind == "keys" else "hides"
        behind = f", which {verb} the {hidden[0].kind} in {hidden[0].place}" if hidden else ""
        yield Line(mark, "credentials", f"Kaggle refuses {name}{behind}", _way_on(taken, hidden))
        return
    proven = problem is None or isinstance(problem, AccessDenied | ContestUnknown)
    yield Line(FINE if proven else LOOK, "credentials", f"{name}, {'accepted by Kaggle' if proven else 'not tested'}")
    if problem:
        yield _no_entry(contest, problem)
    elif contest is not None:
        yield Line(FINE, "contest", f"{contest.spec.kaggle}: its files can be listed")
        yield from _standing(contest, parse_csv(said, "name"))


def _way_on(taken: Credentials, hidden: list[Credentials]) -> str:
    if hidden:
        return taken.without
    # A token in a file would be hidden by the variable.
    return f"{taken.without}, then {LOG_IN}" if taken.kind == "token" and "unset" in taken.without else LOG_IN


def _no_entry(contest: Contest | None, problem: KaggleError) -> Line:
    mark, name = (STOP, "contest") if contest else (LOOK, "Kaggle")
    if isinstance(problem, Unreachable):
        errors = re.findall(r"\w+Error\b", str(problem))
        reason = f" ({errors[-1]})" if errors else ""
        fix = "check the network, and the variables http_proxy and https_proxy"
        return Line(mark, name, f"Kaggle cannot be reached{reason}", fix)
    if contest and isinstance(problem, AccessDenied):
        text = "Kaggle denies access (403): the rules are not accepted, or your phone number is not verified"
        return Line(STOP, "rules", text, f"join the contest on {contest.spec.rules_url}")
    if contest and isinstance(problem, ContestUnknown):
        text = f"Kaggle knows no {contest.spec.kaggle!r} (404), or shows it only to those who joined it"
        return Line(STOP, name, text, "compare the spec's key `kaggle` with the address in your browser")
    return Line(mark, name, _sentence(problem))


def _standing(contest: Contest, files: list[dict[str, str]]) -> Iterator[Line]:
    """Whether the contest was joined, and what may be submitted.

    Kaggle tells nobody whether they accepted the rules. But only who joined can have submissions left, and joining is
    accepting. Where none is left and none was made, it fetches the smallest file: denied without the rules accepted.
    """
    slug, url = contest.spec.kaggle, contest.spec.rules_url
    said, unknown = _ask(contest, "competitions", "submission-limits", slug, "--json")
    found = re.search(r"^\{.*", said, flags=re.MULTILINE | re.DOTALL)  # a warning may precede it
    limits = json.loads(found[0]) if found else {}
    left, today, total = (limits.get(key, 0) for key in ("numAllowedNow", "numToday", "numTotal"))
    if left or total:
        yield Line(FINE, "rules", "accepted: you have joined the contest")
    else:
        denied = _denied(contest, files)
        if denied == "unknown":
            yield Line(LOOK, "rules", "it cannot be seen from here whether you accepted them", f"look at {url}")
        elif denied:
            yield _no_entry(contest, denied)
            return
        elif unknown:
            yield Line(FINE, "rules", "its files can be downloaded")
        else:
            text = "its files can be downloaded, but you have not joined, or the contest is over"
            yield Line(LOOK, "rules", text, f"join the contest on {url}")
    if unknown:
        yield Line(LOOK, "submissions", f"Kaggle does not tell how many are left: {_sentence(unknown)}")
    elif left:
        yield Line(FINE, "submissions", f"{left} left today, {today} made")
    elif total:
        yield Line(LOOK, "submissions", f"none left now, {today} made today", "wait for midnight UTC")


def _denied(contest: Contest, files: list[dict[str, str]]) -> AccessDenied | Literal["unknown"] | None:
    """Why the smallest of the files may not be downloaded; None if it may."""
    sizes = {row["name"]: int(row["size"]) for row in files if (row["size"] or "").isdecimal()}
    name = min(sizes, key=sizes.get, default="")
    if not name or sizes[name] > SMALL:
        return "unknown"
    with tempfile.TemporaryDirectory() as folder:
        _, problem = _ask(contest, "competitions", "download", contest.spec.kaggle, "-f", name, "-p", folder, "-q")
    return problem if problem is None or isinstance(problem, AccessDenied) else "unknown"


def _listing(contest: Contest | None) -> list[str]:
    """A question that nobody answers without accepting the credentials."""
    if contest is None:
        return ["competitions", "list", "--csv", "--page-size", "1"]
    return ["competitions", "files", contest.spec.kaggle, "--csv", "-q"]


def _ask(contest: Contest | None, *arguments: str) -> tuple[str, KaggleError | None]:
    """What the CLI prints, and why it failed."""
    try:
        return run_kaggle(contest and contest.spec, *arguments, timeout=TIMEOUT), None
    except KaggleError as error:
        return "", error


def _sentence(error: KaggleError) -> str:
    return redact(" ".join(str(error).split()))
