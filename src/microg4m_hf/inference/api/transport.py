"""Limit what a server can make a request cost: time, bytes before and after decompression, and the way it takes.

The ``timeout`` of httpx applies to each read, so a server that sends one byte now and then can hold a request forever,
and bodies of error replies are read whole. Here a request has one deadline, and a body a size.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
import threading
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

MAX_REPLY_BYTES = 16 * 2**20
MAX_ERROR_BYTES = 64 * 2**10  # enough for the message of an error
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 47}  # how zlib reads each


def bounded_http_client(base_url: str, timeout: float) -> Any:
    """Return an HTTP client for ``openai.OpenAI(http_client=…)`` that no server can hold up or fill.

    - A request ends after ``timeout`` seconds, whatever arrives until then.
    - A reply ends after :data:`MAX_REPLY_BYTES` and one byte, an error reply after :data:`MAX_ERROR_BYTES`, counted
      after decompression. An error reply that breaks off is complete, because its status is all that counts.
    - Requests to this machine never go through a proxy.

    Args:
        base_url: The address of the server.
        timeout: Seconds for one whole request.

    Returns:
        An ``httpx.Client``, from the package that the installed ``openai`` uses.
    """
    import openai

    # Newer versions of openai use the package httpx2, whose classes are the same.
    package = next(kind for kind in openai.DefaultHttpxClient.__mro__ if kind.__name__ == "Client").__module__
    http = sys.modules[package.partition(".")[0]]
    proxy = proxy_for(base_url)

    class BoundedStream(http.SyncByteStream):  # type: ignore[name-defined]
        """The body of a reply, up to a size and a deadline."""

        def __init__(self, reply: Any, deadline: _Deadline) -> None:
            self._reply, self._deadline = reply, deadline
            self._is_error = reply.status_code >= 400

        def __iter__(self) -> Iterator[bytes]:
            left = MAX_ERROR_BYTES if self._is_error else MAX_REPLY_BYTES + 1
            encoding = self._reply.headers.get("content-encoding", "identity").strip().lower()
            try:
                for chunk in _decompress(self._reply.stream, encoding, left):
                    yield chunk[:left]
                    left -= len(chunk)
                    if left <= 0:
                        return
            except Exception as error:
                if self._is_error:
                    return
                if self._deadline.is_over:
                    raise http.ReadTimeout("the deadline of the request is over") from None
                if isinstance(error, (zlib.error, ValueError)):
                    raise http.DecodingError(str(error)) from None
                raise
            if self._deadline.is_over and not self._is_error:  # the shut connection looks like the end of the body
                raise http.ReadTimeout("the deadline of the request is over")

        def close(self) -> None:
            self._deadline.cancel()
            self._reply.stream.close()

    class BoundedTransport(http.BaseTransport):  # type: ignore[name-defined]
        """One connection per thread, so that the deadline of a request closes its own connection only."""

        def __init__(self) -> None:
            self._local = threading.local()
            self._lock = threading.Lock()
            self._all: list[Any] = []

        def handle_request(self, request: Any) -> Any:
            if not hasattr(self._local, "transport"):
                self._local.transport, self._local.connection = http.HTTPTransport(proxy=proxy), _Connection()
                with self._lock:
                    self._all.append(self._local.transport)
            connection = self._local.connection
            request.headers["Accept-Encoding"] = "gzip, deflate"
            request.extensions = {**request.extensions, "trace": connection.trace}
            deadline = _Deadline(timeout, connection)
            try:
                reply = self._local.transport.handle_request(request)
            except Exception as error:
                deadline.cancel()
                if deadline.is_over:
                    raise http.ReadTimeout("the deadline of the request is over", request=request) from error
                raise
            headers = [(name, value) for name, value in reply.headers.raw if name.lower() != b"content-encoding"]
            stream = BoundedStream(reply, deadline)
            return http.Response(reply.status_code, headers=headers, stream=stream, extensions=reply.extensions)

        def close(self) -> None:
            with self._lock:
                for transport in self._all:
                    transport.close()

    return openai.DefaultHttpxClient(transport=BoundedTransport(), trust_env=False, timeout=timeout)


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for an address; none for addresses of this machine.

    >>> proxy_for("http://127.0.0.1:8000/v1") is None
    True
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is reachable from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("0.0.0.0"), is_loopback("127.0.0.1.example.com")
    (True, True, False, False)
    """
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class _Connection:
    """The socket of a thread's connection, as httpcore reports it."""

    def __init__(self) -> None:
        self.socket: Any = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.socket = info["return_value"].get_extra_info("socket")

    def shut(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes up the thread that reads from it


class _Deadline:
    """Shuts a connection after some seconds, unless it is canceled before."""

    def __init__(self, seconds: float, connection: _Connection) -> None:
        self.is_over = False
        self._connection = connection
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        self.is_over = True
        self._connection.shut()

    def cancel(self) -> None:
        self._timer.cancel()


def _decompress(chunks: Any, encoding: str, limit: int) -> Iterator[bytes]:
    """Yield a body, decompressed in pieces of at most ``limit`` bytes: a small body can expand a thousandfold."""
    if encoding in ("", "identity"):
        yield from chunks
        return
    if encoding not in _ENCODINGS:
        raise ValueError(f"the reply is encoded as {encoding[:40]!r}, which the request did not allow")
    decoder = zlib.decompressobj(_ENCODINGS[encoding])
    for chunk in chunks:
        rest = chunk
        while rest and not decoder.eof:
            yield decoder.decompress(rest, limit)
            rest = decoder.unconsumed_tail
