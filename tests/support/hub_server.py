"""A local Hub: a real HTTP server for huggingface_hub and datasets, which fails on request.

>>> with HubServer() as hub:                                    # doctest: +SKIP
...     subprocess.run([...], env={**os.environ, **hub.environment()})
...     hub.repo("dataset", "me/MicroG-4M").tree()

``hub.fail(...)`` makes the next requests fail, ``hub.when_uploaded(n, action)`` runs an action at the n-th upload
(such as killing the client), and ``hub.requests`` lists every answered request.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from .hub_http import Fault, Request
from .hub_routes import HubRoutes
from .hub_store import LARGE, Repo, Store


class HubServer:
    """The Hub as a context manager; ``tokens`` maps a token to its user, who may also write under ``orgs``."""

    def __init__(
        self, folder: Path | None = None, *, tokens: dict[str, str] | None = None, orgs: tuple[str, ...] = ("org",)
    ) -> None:
        self._is_temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="hub-")) if folder is None else folder
        self.tokens = {"hf_test": "me"} if tokens is None else tokens
        self.orgs = orgs
        self.store = Store(self.folder)
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.uploads = 0
        self._actions: dict[int, Callable[[], object]] = {}
        self.lock = threading.Lock()
        handler = type("HubHandler", (HubRoutes,), {"hub": self})
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
        if self._is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, token: str | None = "hf_test") -> dict[str, str]:
        """Return variables for a process that uses only this Hub; they are read when it imports huggingface_hub."""
        wanted = {"HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {**wanted, "HF_TOKEN": token} if token else {**wanted, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}

    def repo(self, kind: str, name: str) -> Repo:
        return self.store.repos[kind, name]

    def put(self, kind: str, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Commit files without HTTP, and return the sha of the commit."""
        repo, _ = self.store.create(kind, name, name.split("/")[0], private=private)
        with repo.lock:
            tree = repo.tree()
            for path, content in files.items():
                tree[path] = self.store.contents.add(content, large=Path(path).suffix in LARGE)
            repo.branches["main"] = repo.add_commit(repo.sha, tree, "files")
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
        """Make the next ``times`` matching requests fail; ``path`` is a regular expression."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(method, path, status, cut, times, named))

    def when_uploaded(self, count: int, action: Callable[[], object]) -> None:
        """Run ``action`` when the ``count``-th upload from now arrives, before it is answered."""
        self._actions[self.uploads + count] = action

    def requested(self, path: str, method: str = "GET") -> list[Request]:
        """Return the answered requests of one method whose path matches a regular expression."""
        with self.lock:
            return [one for one in self.requests if one.method == method and re.search(path, one.path)]

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.matches(method, path):
                    fault.times -= 1
                    return fault
        return None

    def count_upload(self) -> None:
        with self.lock:
            self.uploads += 1
            action = self._actions.pop(self.uploads, None)
        if action is not None:
            action()


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: tests kill clients."""
