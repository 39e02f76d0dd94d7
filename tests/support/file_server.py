"""A file server on 127.0.0.1 with ranges, tags and failures on request."""

from __future__ import annotations

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FileServer:
    """Use as ``with FileServer({"a/b.pkl": b"..."}) as server``; ``server.url`` is the base address.

    ``faults`` maps a path to what happens to its next requests: "cut:N" sends N bytes of the file, "html" a web page,
    "status:N" an error, "endless" more bytes than announced, "redirect:URL" a redirect, "drip" a byte at a time.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.faults = files, {}  # type: dict[str, bytes], dict[str, list[str]]
        self.requests: list[tuple[str, str | None]] = []  # path and range
        self.sent = 0
        self.seconds = 0.0  # before each answer
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> FileServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: Any
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.owner.requests.append((path, self.headers.get("Range")))
        time.sleep(self.owner.seconds)
        fault = (self.owner.faults.get(path) or [""]).pop(0) if self.owner.faults.get(path) else ""
        content = self.owner.files.get(path)
        kind, _, more = fault.partition(":")
        if kind == "redirect":
            return self._send(302, b"", {"Location": more})
        if kind == "status" or content is None:
            return self._send(int(more or 404), b"no", {})
        if kind == "html":
            return self._send(200, b"<!doctype html><title>Sign in</title>", {"Content-Type": "text/html"})
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        begin = 0
        if (asked := self.headers.get("Range")) and self.headers.get("If-Range") in (None, tag):
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(content):
                return self._send(416, b"", {})
        headers = {"ETag": tag, "Content-Type": "application/octet-stream"}
        body = content[begin:]
        if kind == "cut":
            return self._send(206 if begin else 200, body[: int(more)], headers, length=len(body))
        if kind == "drip":
            return self._drip(body, headers)
        if kind == "endless":
            return self._send(200, body + b"x" * 4096, headers, length=None)
        return self._send(206 if begin else 200, body, headers)

    def _drip(self, body: bytes, headers: dict[str, str]) -> None:
        self._send(200, b"", headers, length=len(body))
        for place in range(len(body)):
            self.wfile.write(body[place : place + 1])
            time.sleep(0.01)

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = -1) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length == -1 else length))
        self.end_headers()
        self.wfile.write(body)
        self.owner.sent += len(body)
        if length != -1:
            self.close_connection = True
