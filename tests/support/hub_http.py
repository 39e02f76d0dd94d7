"""HTTP for the local Hub: read requests, check tokens, send answers, and fail on request."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .hub_store import HubError


@dataclass
class Fault:
    """A failure of the requests that match: an HTTP status, or a connection cut in the middle of the body."""

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
    """One answered request; ``sent`` bytes of the body were sent."""

    method: str
    path: str
    status: int
    sent: int


class HubConnection(BaseHTTPRequestHandler):
    """One connection of a client. A subclass answers the requests in ``_route``."""

    hub: Any  # the HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        split = urlsplit(self.path)
        self.query = parse_qs(split.query)
        self.parts = [unquote(part) for part in split.path.strip("/").split("/")]
        fault = self.hub.take_fault(self.command, unquote(self.path))
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
        part = b"" if self.command == "HEAD" else content[: len(content) // 2] if self.cut else content
        with self.hub.lock:  # before the client has all of it and asks what was requested
            self.hub.requests.append(Request(self.command, unquote(self.path), status, len(part)))
        self.wfile.write(part)
        if self.cut:
            self._drop(status)

    def _drop(self, status: int) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)

    def _reply(self, answer: Any, status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode())

    def _route(self) -> None:
        raise NotImplementedError
