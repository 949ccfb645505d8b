"""A stand-in for the W&B server, on 127.0.0.1: enough for the unmodified client to work in online mode.

It keeps what a test wants to see, and answers what the client (0.31) waits for:

    POST /graphql                                        an operation's name → its canned answer
    POST /files/<entity>/<project>/<run>/file_stream     history rows, summary, exit code
    PUT  /storage/…                                      the bytes of files and artifacts
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

ENTITY = "local"


@dataclass
class ReceivedRun:
    """One run as the server saw it. `exit_code` stays None until the client says that the run is over."""

    group: str = ""
    job_type: str = ""
    name: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, object] = field(default_factory=dict)
    history: list[dict[str, object]] = field(default_factory=list)
    summary: dict[str, object] = field(default_factory=dict)
    exit_code: int | None = None


class LocalWandb(ThreadingHTTPServer):
    """Received runs by id, the bytes of files by storage path, and the types of artifacts by name.

    With `refuses` set, every request is answered with that HTTP status and forgotten. While `answers` is clear, every
    request waits.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, ReceivedRun] = {}
        self.stored: dict[str, bytes] = {}
        self.artifacts: dict[str, str] = {}
        self.refuses: int | None = None
        self.answers = Event()
        self.answers.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, operation: str, given: dict) -> dict:
        """The `data` of a GraphQL answer. Unknown operations get an empty one."""
        answers = {
            "Viewer": self._viewer,
            "UpsertBucket": self._upsert_run,
            "CreateRunFiles": self._create_files,
            "CreateArtifact": self._create_artifact,
            "CreateArtifactManifest": self._create_manifest,
            "CreateArtifactFiles": self._create_artifact_files,
        }
        return answers[operation](given) if operation in answers else CANNED.get(operation, {})

    def stream(self, run_id: str, sent: dict) -> None:
        """Take one file_stream message: new lines of the history, the newest summary, the exit code."""
        run = self.runs[run_id]
        for name, chunk in sent.get("files", {}).items():
            if name == "wandb-history.jsonl":
                run.history += [json.loads(line) for line in chunk["content"]]
            elif name == "wandb-summary.json":
                run.summary = json.loads(chunk["content"][-1])
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]

    def _viewer(self, _given: dict) -> dict:
        return {"viewer": {"entity": ENTITY, "username": ENTITY, "teams": {"edges": []}, "flags": "{}"}}

    def _upsert_run(self, given: dict) -> dict:
        run = self.runs.setdefault(given["name"], ReceivedRun())
        run.group = given.get("groupName") or run.group
        run.job_type = given.get("jobType") or run.job_type
        run.name = given.get("displayName") or run.name
        run.project = given.get("project") or run.project
        run.tags = given.get("tags") or run.tags
        if given.get("config"):
            run.config = {key: entry["value"] for key, entry in json.loads(given["config"]).items()}
        project = {"id": "project", "name": run.project, "entity": {"id": "entity", "name": ENTITY}}
        bucket = {"id": given["name"], "name": given["name"], "displayName": run.name, "project": project}
        return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}

    def _create_files(self, given: dict) -> dict:
        files = [self._upload(f"{given['run']}/{name}") | {"name": name} for name in given["files"]]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}

    def _create_artifact(self, given: dict) -> dict:
        name = given["input"]["artifactCollectionName"]
        self.artifacts[name] = given["input"]["artifactTypeName"]
        return {"createArtifact": {"artifact": {"id": name, "state": "PENDING", "artifactSequence": {"id": name}}}}

    def _create_manifest(self, given: dict) -> dict:
        file = self._upload(f"{given['artifactID']}/{given['name']}")
        return {"createArtifactManifest": {"artifactManifest": {"id": given["artifactID"], "file": file}}}

    def _create_artifact_files(self, given: dict) -> dict:
        nodes = []
        for spec in given["input"]["artifactFiles"]:
            artifact = spec["artifactID"]
            file = self._upload(f"{artifact}/{spec['name']}")
            nodes.append(file | {"id": spec["name"], "name": spec["name"], "artifact": {"id": artifact}})
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def _upload(self, path: str) -> dict:
        return {"uploadUrl": f"{self.url}/storage/{path}", "uploadHeaders": [], "storagePath": path}


CANNED = {
    "RunResumeStatus": {"model": None},
    "ArtifactType": {"project": None},
    "ServerFeaturesQuery": {"serverInfo": {"features": []}},
    "OrganizationCoreWeaveOrganizationID": {"entity": None},
    "CommitArtifact": {"commitArtifact": {"artifact": {"id": "artifact", "digest": ""}}},
    "MarkRunFilesUploaded": {"markRunFilesUploaded": {"success": True}},
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LocalWandb

    def do_POST(self) -> None:
        self.server.answers.wait()
        body = self._body()
        if self.server.refuses:
            self._reply({})
        elif self.path == "/graphql":
            sent = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", sent["query"])[1]
            self._reply({"data": self.server.answer(operation, sent.get("variables") or {})})
        elif self.path.endswith("/file_stream"):
            self.server.stream(self.path.split("/")[-2], json.loads(body))
            self._reply({})
        else:  # the client's reports on itself
            self._reply({})

    def do_PUT(self) -> None:
        body = self._body()
        if not self.server.refuses:
            self.server.stored[self.path.removeprefix("/storage/")] = body
        self._reply({})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _reply(self, answer: dict) -> None:
        body = json.dumps(answer).encode()
        self.send_response(self.server.refuses or 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        with suppress(ConnectionResetError):  # the client drops its idle connections when a run ends
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what arrived is in the server's attributes."""


@contextmanager
def serving() -> Iterator[LocalWandb]:
    """A server in a thread, on a free port."""
    with LocalWandb() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.answers.set()
            server.shutdown()
