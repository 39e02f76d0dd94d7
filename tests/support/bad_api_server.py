"""A chat-completions server on 127.0.0.1 that fails on purpose.

``plan(question, attempt)`` names what happens to the n-th request (from 0) of a question; see ``_Handler``.
"""

from __future__ import annotations

import email.utils
import functools
import gzip
import http.server
import json
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any


@functools.cache
def _gzip_bomb() -> bytes:
    """64 KiB that unpack to 64 MiB."""
    return gzip.compress(b"\0" * 2**26)


class BadServer:
    """Use as ``with BadServer(plan) as server``. Records every request; ``server.url`` is the base address."""

    def __init__(self, plan: Callable[[str, int], str] = lambda question, attempt: "ok", seconds: float = 0.0) -> None:
        self.plan, self.seconds = plan, seconds
        self.most_at_once = 0
        self.sent = 0  # bytes of endless bodies
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.times: list[float] = []
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self._now = 0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.owner = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> BadServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def start_request(self) -> None:
        with self.lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)

    def end_request(self) -> None:
        with self.lock:
            self._now -= 1


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        owner: BadServer = self.server.owner  # type: ignore[attr-defined]
        owner.start_request()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"][-1]["text"].split("\n")[0]
        with owner.lock:
            attempt = owner.counts[question]
            owner.counts[question] += 1
            owner.bodies.append(body)
            owner.times.append(time.monotonic())
            owner.keys.add(self.headers.get("Authorization", ""))
        time.sleep(owner.seconds)
        self._behave(owner, owner.plan(question, attempt), body)

    def _behave(self, owner: BadServer, what: str, body: dict[str, Any]) -> None:
        name, _, more = what.partition(":")
        if name == "slow":  # until the client gives up
            while not select.select([self.connection], [], [], 0.02)[0]:
                pass
            self.close_connection = True
            return owner.end_request()
        if name in ("cut", "cut_body"):
            owner.end_request()
            if name == "cut_body":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if name == "drip_headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            self._drip(b"a")
            return owner.end_request()
        if name == "cut_error":
            owner.end_request()
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 500\r\n\r\n<html>")
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if name in ("endless", "bomb"):  # what the client does not read counts in ``sent``
            owner.end_request()
            encoding = b"Content-Encoding: gzip\r\n" if name == "bomb" else b""
            self.wfile.write(b"HTTP/1.1 %s No\r\nContent-Length: 629145600\r\n%s\r\n" % (more.encode(), encoding))
            block = _gzip_bomb() if name == "bomb" else b"x" * 2**16
            try:
                for _ in range(629145600 // len(block)):
                    self.wfile.write(block)
                    owner.sent += len(block)
            except OSError:
                pass
            self.close_connection = True
            return None
        if name == "drip":  # bytes at short intervals, so that no single read times out
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
            self._drip(b" ")
            return owner.end_request()
        status, headers, content = self._reply(name, more, body)
        owner.end_request()  # before the response, because the next request may follow at once
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def _drip(self, byte: bytes) -> None:
        try:
            for _ in range(5000):
                time.sleep(0.02)
                self.wfile.write(byte)
        except OSError:
            pass
        self.close_connection = True

    def _reply(self, name: str, more: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        authorization = self.headers.get("Authorization", "")
        if name == "busy":
            return 429, {"Retry-After": more}, _error("too many requests")
        if name == "busy_date":
            return 429, {"Retry-After": email.utils.formatdate(time.time() + float(more), usegmt=True)}, _error("busy")
        if name == "away":
            return 307, {"Location": f"{more}/chat/completions"}, b""
        if name == "down":
            return 503, {"Retry-After": more}, _error("overloaded")
        if name == "quota":
            return 429, {}, _error("You exceeded your current quota", "insufficient_quota")
        if name == "status":  # repeats the key
            return int(more), {}, _error(f"no, {authorization}")
        if name == "says_400":
            return 400, {}, json.dumps({"error": {"message": more, "code": "400"}}).encode()
        if name == "raw":  # a status and a body, as a server sent them
            status, _, content = more.partition(" ")
            return int(status), {}, content.encode()
        if name == "gzip":
            reply = json.dumps({"choices": [{"message": {"content": "Packed."}, "finish_reason": "stop"}]})
            return 200, {"Content-Encoding": "gzip"}, gzip.compress(reply.encode())
        if name == "brotli":
            return 200, {"Content-Encoding": "br"}, b"\x0b\x02\x80{}\x03"
        if name == "filtered_400":
            return 400, {}, _error("your images were rejected", "content_policy_violation")
        if name == "old" and "max_completion_tokens" in body:
            return 400, {}, _error("Unrecognized request argument supplied: max_completion_tokens")
        if name == "malformed":
            return 200, {}, b'{"choices": [{"mess'
        if name == "html":
            return 200, {"Content-Type": "text/html"}, b"<html>502 Bad Gateway</html>"
        if name == "odd":
            return 200, {}, json.dumps({"choices": [], "usage": "none"}).encode()
        message: dict[str, Any] = {"role": "assistant", "content": more or "Two people."}
        finish = "stop"
        if name == "empty":
            message["content"] = None
        elif name == "filter":
            message["content"], finish = None, "content_filter"
        elif name == "refusal":
            message = {"content": None, "refusal": "I cannot help with that."}
        elif name == "length":
            finish = "length"
        elif name == "thought":
            message["content"], finish = "", "length"
        elif name == "echo":
            message["content"] = f"Half \ud800 a pair, {authorization}"
        usage = {"prompt_tokens": 100, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 60}}
        reply = {"model": "served-1", "choices": [{"message": message, "finish_reason": finish}], "usage": usage}
        return 200, {}, json.dumps(reply).encode()

    def log_message(self, *_: object) -> None:
        pass


def _error(message: str, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "code": code}}).encode()
