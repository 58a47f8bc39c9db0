"""A Hugging Face hub on loopback that takes uploads: it creates repositories, and keeps what is committed to them."""

import base64
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

TOKEN = "hf_of_me"
LARGE = (".onnx", ".safetensors")  # kept by Git LFS


@dataclass
class Hub:
    """What the hub got.

    Attributes:
        files: contents of `me/*` by path, as the last commit left them, by name of the repository.
        private: by name.
        commits: number of commits.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    commits: int = 0
    large: dict[str, bytes] = field(default_factory=dict)
    address: str = ""

    def answer(self, path: str, token: str, body: bytes) -> tuple[int, Any]:
        """Answer as the hub does: status, and what is sent as JSON."""
        if path.startswith("/storage/"):
            self.large[path.removeprefix("/storage/")] = body
            return 200, {}
        name = re.search(r"(?:/api/models)?/(\w+/[\w.-]+?)(?:\.git/|/|$)", path)
        if token != TOKEN:
            return 401, {"error": "Invalid user token."}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if name is None or name[1] not in self.files:
            return 404, {"error": "Repository not found"}
        return self._of_repository(name[1], path.rpartition("/")[0].rpartition("/")[2], body)

    def _of_repository(self, name: str, question: str, body: bytes) -> tuple[int, Any]:
        match question:
            case "preupload":
                paths = [file["path"] for file in json.loads(body)["files"]]
                modes = ["lfs" if path.endswith(LARGE) else "regular" for path in paths]
                files = zip(paths, modes, strict=True)
                return 200, {"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in files]}
            case "objects":
                ids = [(entry, f"{self.address}/storage/{entry['oid']}") for entry in json.loads(body)["objects"]]
                objects = [{**entry, "actions": {"upload": {"href": href}}} for entry, href in ids]
                return 200, {"transfer": "basic", "objects": objects}
            case "commit":
                return self._commit(name, [json.loads(line) for line in body.splitlines()])
        return 200, {"id": name, "sha": "c" * 40, "private": self.private[name], "siblings": []}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != "me":
            return 403, {"error": "You don't have the rights to create a model under this namespace"}
        if name in self.files:
            return 409, {"error": "You already created this model repo", "url": f"{self.address}/{name}"}
        self.files[name], self.private[name] = (
            {},
            "private" in (asked.get("visibility"), asked.get("private") and "private"),
        )
        return 200, {"url": f"{self.address}/{name}"}

    def _commit(self, name: str, entries: list[dict[str, Any]]) -> tuple[int, Any]:
        for entry in entries:
            value = entry["value"]
            if entry["key"] == "file":
                self.files[name][value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.files[name][value["path"]] = self.large[value["oid"]]
        self.commits += 1
        return 200, {"commitUrl": f"{self.address}/{name}/commit/{'c' * 40}", "commitOid": "c" * 40}


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on loopback that knows the account `me`, whose token is `TOKEN`, as the client's hub."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, content = hub.answer(self.path.split("?")[0], token, body)
            sent = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the hub's other way, for large files
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
