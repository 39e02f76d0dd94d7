"""A Hub on this machine: real HTTP for huggingface_hub and datasets, with faults on request.

>>> with HubServer() as hub:                                    # doctest: +SKIP
...     subprocess.run([...], env={**os.environ, **hub.environment()})
...     hub.repo("dataset", "me/MicroG-4M").tree()

``hub.fail(...)`` makes coming requests fail, ``hub.when_uploaded(n, action)`` runs something as the n-th upload
arrives (kill the client, say), ``hub.requests`` lists every request that was answered.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .hub_store import KINDS, LARGE, HubError, Repo, Store


@dataclass
class Fault:
    """What goes wrong with the requests that match: a status, or a connection cut in the middle of the body."""

    method: str
    path: str
    status: int = 0
    cut: bool = False
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)

    def matches(self, method: str, path: str) -> bool:
        return (
            self.times > 0 and re.fullmatch(self.method, method) is not None and re.search(self.path, path) is not None
        )


@dataclass(frozen=True)
class Request:
    """One answered request: ``sent`` bytes of body went out."""

    method: str
    path: str
    status: int
    sent: int


class HubServer:
    """The Hub as a context manager; ``tokens`` maps a token to its user, who may write under ``orgs`` too."""

    def __init__(
        self, folder: Path | None = None, *, tokens: dict[str, str] | None = None, orgs: tuple[str, ...] = ("org",)
    ) -> None:
        self._own = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="hub-")) if folder is None else folder
        self.tokens = {"hf_test": "me"} if tokens is None else tokens
        self.orgs = orgs
        self.store = Store(self.folder)
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.uploads = 0
        self._actions: dict[int, Callable[[], object]] = {}
        self.lock = threading.Lock()
        handler = type("HubHandler", (_Handler,), {"hub": self})
        self._http = _Http(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, token: str | None = "hf_test") -> dict[str, str]:
        """Variables for a process that shall talk to this Hub alone (they are read when it imports huggingface_hub)."""
        wanted = {"HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {**wanted, "HF_TOKEN": token} if token else {**wanted, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}

    def repo(self, kind: str, name: str) -> Repo:
        return self.store.repos[kind, name]

    def put(self, kind: str, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Commit files without HTTP; gives the commit's sha."""
        repo, _ = self.store.create(kind, name, name.split("/")[0], private=private)
        with repo.lock:
            tree = repo.tree()
            for path, content in files.items():
                tree[path] = self.store.contents.add(content, large=Path(path).suffix in LARGE)
            repo.branches["main"] = repo._commit(repo.sha, tree, "files")
            return repo.sha

    def fail(
        self,
        method: str = "GET|HEAD|POST|PUT",
        path: str = "",
        *,
        status: int = 0,
        cut: bool = False,
        times: int = 1,
        **headers: str,
    ) -> None:
        """Let the next ``times`` requests that match fail (``path`` is a regular expression)."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(method, path, status, cut, times, named))

    def when_uploaded(self, count: int, action: Callable[[], object]) -> None:
        """Run ``action`` when the ``count``-th upload from now has arrived, before it is answered."""
        self._actions[self.uploads + count] = action

    def requested(self, path: str, method: str = "GET") -> list[Request]:
        """Answered requests of one method whose path matches a regular expression."""
        with self.lock:
            return [one for one in self.requests if one.method == method and re.search(path, one.path)]

    def _fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.matches(method, path):
                    fault.times -= 1
                    return fault
        return None

    def _uploaded(self) -> None:
        with self.lock:
            self.uploads += 1
            action = self._actions.pop(self.uploads, None)
        if action is not None:
            action()


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    # -- one request ----------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        split = urlsplit(self.path)
        self.query = parse_qs(split.query)
        self.parts = [unquote(part) for part in split.path.strip("/").split("/")]
        fault = self.hub._fault(self.command, unquote(self.path))
        self.cut = bool(fault and fault.cut)
        try:
            if fault and fault.cut and self.command in {"PUT", "POST"}:
                self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
                self._drop(0)
                return
            self.body = self._read_body()
            if fault and fault.status:
                self._send(fault.status, b"{}", {"X-Error-Message": "made to fail", **fault.headers})
                return
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if token and token not in self.hub.tokens:
                raise HubError(401, "", "Invalid username or password.")
            self.user = self.hub.tokens.get(token)
            self._route()
        except HubError as error:
            headers = {"X-Error-Message": str(error), **({"X-Error-Code": error.code} if error.code else {})}
            self._send(error.status, json.dumps({"error": str(error)}).encode(), headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _read_body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self) -> Any:
        return json.loads(self.body or b"{}")

    def _send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        sent = 0
        if self.command != "HEAD":
            part = content[: len(content) // 2] if self.cut else content
            self.wfile.write(part)
            sent = len(part)
        with self.hub.lock:
            self.hub.requests.append(Request(self.command, unquote(self.path), status, sent))
        if self.cut:
            self._drop(status)

    def _drop(self, status: int) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)

    def _reply(self, answer: Any, status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode())

    # -- where it goes --------------------------------------------------------------------------------------------

    def _route(self) -> None:
        parts = self.parts
        if parts[:1] == ["lfs"]:
            return self._store_object(parts[1])
        if parts[0] != "api":
            return self._plain(parts)
        if parts[1] == "whoami-v2":
            orgs = [{"name": name, "type": "org"} for name in self.hub.orgs]
            return self._reply(
                {"type": "user", "name": self._signed_in(), "orgs": orgs, "auth": {"type": "access_token"}}
            )
        if parts[1:3] == ["repos", "create"]:
            return self._create()
        if parts[1:3] == ["repos", "delete"]:
            asked = self._json()
            name = f"{asked.get('organization') or self._signed_in()}/{asked['name']}"
            self._writable(self._repo(asked.get("type", "model"), name))
            del self.hub.store.repos[asked.get("type", "model"), name]
            return self._reply({})
        if parts[1] == "validate-yaml":
            return self._reply({"errors": [], "warnings": []})
        kind = parts[1].removesuffix("s")
        if kind not in KINDS:
            raise HubError(404, "", f"nothing at {self.path}")
        if len(parts) < 4:
            if len(parts) == 3:
                raise HubError(404, "RepoNotFound", "Repository not found")
            listed = [self._about(repo, repo.sha) for (k, _), repo in self.hub.store.repos.items() if k == kind]
            author = self.query.get("author", [None])[0]
            return self._reply([one for one in listed if author in {None, one["author"]}])
        repo = self._repo(kind, "/".join(parts[2:4]))
        what, rest = (parts[4], parts[5:]) if len(parts) > 4 else ("revision", ["main"])
        if what == "revision":
            return self._reply(self._about(repo, repo.resolve(rest[0])))
        if what == "refs":
            names = {"branches": repo.branches, "tags": repo.tags}
            rows = {
                key: [
                    {"name": name, "ref": f"refs/{'heads' if key == 'branches' else key}/{name}", "targetCommit": sha}
                    for name, sha in refs.items()
                ]
                for key, refs in names.items()
            }
            return self._reply({**rows, "converts": []})
        if what == "commits":
            rows2 = [
                {
                    "id": one["sha"],
                    "title": one["message"],
                    "message": "",
                    "date": "2026-01-01T00:00:00.000Z",
                    "authors": [],
                }
                for one in repo.history(rest[0])
            ]
            return self._reply(rows2)
        if what == "tree":
            return self._tree(repo, rest[0], "/".join(rest[1:]))
        if what == "paths-info":
            return self._paths_info(repo, rest[0])
        if what in {"tag", "branch"}:
            return self._name_revision(repo, what, "/".join(rest))
        if what == "preupload":
            self._writable(repo)
            tree = repo.tree(rest[0])
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs"
                    if Path(file["path"]).suffix in LARGE or file["size"] > 10_000_000
                    else "regular",
                    "shouldIgnore": False,
                    **({"oid": tree[file["path"]].etag} if file["path"] in tree else {}),
                }
                for file in self._json()["files"]
            ]
            return self._reply({"files": files})
        if what == "commit":
            self._writable(repo)
            sha = repo.commit(rest[0], [json.loads(line) for line in self.body.splitlines() if line.strip()])
            url = f"{self.hub.endpoint}/{self._prefix(repo)}/commit/{sha}"
            return self._reply({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})
        raise HubError(404, "", f"nothing at {self.path}")

    def _plain(self, parts: list[str]) -> None:
        """Addresses without ``api``: the LFS batch and the files themselves."""
        kind = "model"
        if parts[0] in {"datasets", "spaces"}:
            kind, parts = parts[0].removesuffix("s"), parts[1:]
        if len(parts) >= 2 and parts[1].endswith(".git"):
            return self._batch(self._repo(kind, f"{parts[0]}/{parts[1].removesuffix('.git')}"))
        if "resolve" not in parts[:3]:
            raise HubError(404, "RepoNotFound", "Repository not found")
        at = parts.index("resolve")
        return self._file(self._repo(kind, "/".join(parts[:at])), parts[at + 1], "/".join(parts[at + 2 :]))

    # -- repositories ---------------------------------------------------------------------------------------------

    def _signed_in(self) -> str:
        if self.user is None:
            raise HubError(401, "", "Invalid username or password.")
        return self.user

    def _repo(self, kind: str, name: str) -> Repo:
        repo = self.hub.store.repos.get((kind, name))
        if repo is None or (repo.private and self.user not in {repo.owner, *self._members(repo.owner)}):
            # The real Hub does not tell an anonymous reader whether a repository is private or missing.
            raise HubError(401 if self.user is None else 404, "RepoNotFound", "Repository not found")
        return repo

    def _members(self, owner: str) -> set[str]:
        return set(self.hub.tokens.values()) if owner in self.hub.orgs else {owner}

    def _writable(self, repo: Repo) -> None:
        if self._signed_in() not in self._members(repo.owner):
            raise HubError(403, "", f"You don't have the rights to write to {repo.name}")

    def _create(self) -> None:
        asked, user = self._json(), self._signed_in()
        owner = asked.get("organization") or user
        if user not in self._members(owner):
            message = (
                f'You don\'t have the rights to create a {asked.get("type", "model")} under the namespace "{owner}"'
            )
            raise HubError(403, "", message)
        private = bool(asked.get("private") or asked.get("visibility") == "private")
        kind = asked.get("type") or "model"
        repo, new = self.hub.store.create(kind, f"{owner}/{asked['name']}", owner, private=private)
        answer = {"url": f"{self.hub.endpoint}/{self._prefix(repo)}", "name": repo.name, "id": repo.name}
        if not new:
            answer["error"] = f"You already created this {kind} repo"
        self._reply(answer, 200 if new else 409)

    @staticmethod
    def _prefix(repo: Repo) -> str:
        return repo.name if repo.kind == "model" else f"{repo.kind}s/{repo.name}"

    @staticmethod
    def _about(repo: Repo, sha: str) -> dict[str, Any]:
        return {
            "id": repo.name,
            "author": repo.name.split("/")[0],
            "sha": sha,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": path} for path in repo.tree(sha)],
            **({"modelId": repo.name} if repo.kind == "model" else {}),
        }

    def _name_revision(self, repo: Repo, what: str, name: str) -> None:
        self._writable(repo)
        names = repo.branches if what == "branch" else repo.tags
        with repo.lock:
            if self.command == "DELETE":
                if names.pop(name, None) is None:
                    raise HubError(404, "RevisionNotFound", f"no {what} {name}")
                return self._reply({})
            asked = self._json()
            # A tag is made under the revision it points to, a branch under its own name.
            new, start = (name, asked.get("startingPoint", "main")) if what == "branch" else (asked["tag"], name)
            if new in names:
                raise HubError(409, "", f"{what} {new} already exists")
            names[new] = repo.resolve(start)
        return self._reply({})

    # -- files ----------------------------------------------------------------------------------------------------

    def _tree(self, repo: Repo, revision: str, below: str) -> None:
        prefix = f"{below}/" if below else ""
        deep = self.query.get("recursive", ["false"])[0].lower() in {"true", "1"}
        rows: dict[str, dict[str, Any]] = {}
        for path, entry in repo.tree(revision).items():
            if not path.startswith(prefix):
                continue
            steps = path[len(prefix) :].split("/")
            for depth in range(1, len(steps) if deep else min(2, len(steps))):
                folder = prefix + "/".join(steps[:depth])
                rows[folder] = {
                    "type": "directory",
                    "path": folder,
                    "oid": hashlib.sha1(folder.encode()).hexdigest(),
                    "size": 0,
                }
            if deep or len(steps) == 1:
                rows[path] = entry.listing(path)
        if below and not rows:
            raise HubError(404, "EntryNotFound", f"{below} does not exist on {revision}")
        self._reply([rows[path] for path in sorted(rows)])

    def _paths_info(self, repo: Repo, revision: str) -> None:
        form = self.headers.get("Content-Type", "")
        paths = self._json()["paths"] if "json" in form else parse_qs(self.body.decode()).get("paths", [])
        tree = repo.tree(revision)
        rows = []
        for path in [paths] if isinstance(paths, str) else paths:
            if path in tree:
                rows.append(tree[path].listing(path))
            elif any(name.startswith(f"{path}/") for name in tree):
                rows.append(
                    {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
                )
        self._reply(rows)

    def _file(self, repo: Repo, revision: str, path: str) -> None:
        sha = repo.resolve(revision)
        entry = repo.tree(sha).get(path)
        if entry is None:
            raise HubError(404, "EntryNotFound", f"{path} does not exist on {revision}")
        content = self.hub.store.contents.read(entry.sha256)
        headers = {"ETag": f'"{entry.etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if entry.large:
            headers |= {"X-Linked-Etag": f'"{entry.etag}"', "X-Linked-Size": str(entry.size)}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        status = 200
        if wanted and (wanted[1] or wanted[2]):
            first = int(wanted[1]) if wanted[1] else max(0, entry.size - int(wanted[2]))
            last = min(int(wanted[2]), entry.size - 1) if wanted[1] and wanted[2] else entry.size - 1
            if first >= entry.size:
                return self._send(416, b"", {"Content-Range": f"bytes */{entry.size}"})
            status, content = 206, content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{entry.size}"
        return self._send(status, content, headers, "application/octet-stream")

    def _batch(self, repo: Repo) -> None:
        self._writable(repo)
        objects = []
        for one in self._json()["objects"]:
            row = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.store.contents:
                row["actions"] = {"upload": {"href": f"{self.hub.endpoint}/lfs/{one['oid']}"}}
            objects.append(row)
        self._reply({"transfer": "basic", "objects": objects})

    def _store_object(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise HubError(422, "", "the content does not have the hash that was promised")
        self.hub.store.contents.add(self.body, large=True)
        self.hub._uploaded()
        self._send(200, b"")
