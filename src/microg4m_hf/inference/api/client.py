"""One item and one server: tries until there is an answer, or a failure that can be recorded."""

from __future__ import annotations

import email.utils
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ...errors import RecipeError, ServerError
from .messages import BrokenReply, read_reply

# Where a served model is, and the key to it. The key comes from the environment and goes into nothing but requests.

OPENAI = "https://api.openai.com/v1"
_HERE = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks the OpenAI protocol, and how to deal with it; none of it changes an answer."""

    base_url: str
    key: str = field(repr=False)  # "" for a server that wants none
    concurrency: int = 8  # requests under way at the same time
    timeout: float = 120.0  # seconds for one request
    tries: int = 6  # of one item, for errors that pass; a server that queries to wait uses none up
    patience: float = 900.0  # seconds that one wait, or all waits of one item, may take
    backoff: float = 0.5  # seconds before the second try, doubled for each further one
    price_in: float | None = None  # per 1,000 tokens
    price_out: float | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.tries < 1 or self.timeout <= 0:
            raise RecipeError("--concurrency and --tries are at least 1, --timeout is more than 0 seconds")

    def without_key(self, text: str) -> str:
        """A message in which the key is hidden, for everything that is written or shown.

        >>> Endpoint("http://localhost/v1", "sk-123456").without_key("Incorrect key sk-123456")
        'Incorrect key ***'
        """
        return text.replace(self.key, "***") if self.key else text

    def answer_without_key(self, text: str) -> str:
        """The same for what a model says, where a stand-in such as "x" or "EMPTY" is a word and no secret."""
        return self.without_key(text) if len(self.key) >= 12 else text


def find_key(base_url: str | None, key_env: str | None) -> tuple[str, str]:
    """The address to use and the key for it, from ``OPENAI_API_KEY`` or the variable that ``key_env`` names.

    A key is required at OpenAI and where ``key_env`` was given. A server of one's own mostly wants none, and
    ``OPENAI_API_KEY`` is not sent in clear text to another machine.
    """
    url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecipeError("--base-url is no web address; it looks like http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise RecipeError(
            "--base-url holds a user, a password or a query, which would be written into logs; "
            "put the key into an environment variable and name it with --key-env"
        )
    in_clear = parts.scheme == "http" and parts.hostname not in _HERE
    name = key_env or "OPENAI_API_KEY"
    key = "" if in_clear and not key_env else os.environ.get(name, "").strip()
    if not key and (key_env or url == OPENAI):
        raise RecipeError(f"the environment variable {name} is not set; export {name}=… with the key of the server")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise RecipeError(f"the environment variable {name} holds characters that no key has; export it again")
    return url, key


# When to try again: what a server queries for, a growing wait otherwise, and one pause for all when it is crowded.


class Pause:
    """A gate in front of all requests; a server that is crowded for one is crowded for all."""

    def __init__(self) -> None:
        self._until = 0.0
        self._stopped = threading.Event()

    def extend(self, seconds: float) -> None:
        self._until = max(self._until, time.monotonic() + seconds)

    def stop(self) -> None:
        """Wake up everyone who waits, for good."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def pass_through(self) -> None:
        while (left := self._until - time.monotonic()) > 0 and not self.stopped:
            self.sleep(left * random.uniform(1.0, 1.1))  # not all at the same moment


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server queries to wait in ``retry-after-ms`` or ``Retry-After`` (seconds or a date), if it does.

    >>> asked_wait({"retry-after": "3"}), asked_wait({"retry-after": "soon"}), asked_wait({})
    (3.0, None, None)
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        said = headers.get(name)
        if said is None:
            continue
        try:
            seconds = float(said) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def growing_wait(first: float, tries: int) -> float:
    """``first`` seconds after the first try, then twice as long each time, a minute at most, not all at once.

    >>> 0.75 <= growing_wait(0.5, 2) <= 1.0, growing_wait(0.5, 20) <= 60
    (True, True)
    """
    return min(60.0, first * 2 ** min(tries - 1, 20)) * random.uniform(0.75, 1.0)


_PASSES = (408, 409, 429)  # and 500 and above
# Nothing gets better by asking again, for no item.
_HOPELESS = {401: "does not accept the key", 402: "wants to be paid", 403: "does not allow this", 404: "knows no such"}

_MOST_BYTES = 16 * 2**20


def make_client(endpoint: Endpoint) -> Any:
    """The ``openai`` client; it makes one try, and the waiting is ours (its own gives up above 120 seconds)."""
    import openai

    return openai.OpenAI(
        api_key=endpoint.key or "none", base_url=endpoint.base_url, timeout=endpoint.timeout, max_retries=0
    )


def answer(client: Any, endpoint: Endpoint, pause: Pause, body: dict[str, Any]) -> dict[str, Any]:
    """The record of one item. ``ServerError`` when there is no use in going on with any item."""
    import openai

    tries = requests = 0
    began, why, kind = time.monotonic(), "", "unreachable"
    while tries < endpoint.tries:
        pause.pass_through()
        if pause.stopped:
            raise Stopped("another request ended the run")
        requests += 1
        wait = None
        try:
            return read_reply(_body(client, endpoint, body)) | {"requests": requests}
        except BrokenReply as error:
            why, kind = str(error), "malformed"
        except _Cut as error:
            why, kind = str(error), "unreachable"
        except (openai.APITimeoutError, TimeoutError):
            why, kind = f"no answer within {endpoint.timeout:g} s", "timeout"
        except openai.APIConnectionError as error:
            why, kind = f"the connection failed ({_root(endpoint, error)})", "unreachable"
        except openai.APIStatusError as error:
            why, kind = f"the server said {error.status_code}: {_said(endpoint, error)}", "server"
            code = error.status_code
            if code == 400 and "max_completion_tokens" in why and "max_completion_tokens" in body:
                # Servers from before 2024 know only the older name.
                body = {("max_tokens" if name == "max_completion_tokens" else name): body[name] for name in body}
                continue
            if code in _HOPELESS or "insufficient_quota" in why:
                reason = _HOPELESS.get(code, "has no quota left")
                raise _stop(endpoint, f"the server {reason}: {why}") from None
            passes = code in _PASSES or code >= 500 or error.response.headers.get("x-should-retry") == "true"
            if not passes or error.response.headers.get("x-should-retry") == "false":
                filtered = code < 500 and any(word in why for word in ("content_filter", "content_policy"))
                kind = "content_filter" if filtered else "rejected"
                break
            wait = asked_wait(error.response.headers)
            if wait is not None and wait > endpoint.patience:
                raise _stop(
                    endpoint,
                    f"the server queries to wait {wait:.0f} s, which is more than --patience {endpoint.patience:g}",
                ) from None
            if code == 429:
                kind = "crowded"
                wait = growing_wait(endpoint.backoff, requests) if wait is None else max(wait, endpoint.backoff)
                pause.extend(wait)
                if time.monotonic() - began + wait > endpoint.patience:
                    break
                continue
        tries += 1
        if tries < endpoint.tries:
            pause.sleep(growing_wait(endpoint.backoff, tries) if wait is None else wait)
    why = endpoint.without_key(f"{why} (after {requests} requests)")
    return {"status": "failed", "kind": kind, "why": why, "requests": requests}


class Stopped(ServerError):
    """The run was ended elsewhere; that error is the one to show."""


class _Cut(Exception):
    """The connection broke while the reply came in."""


def _body(client: Any, endpoint: Endpoint, body: dict[str, Any]) -> str:
    """The text of one reply. A server that sends now and then a byte does not outlive the timeout."""
    end = time.monotonic() + endpoint.timeout
    content = bytearray()
    with client.chat.completions.with_streaming_response.create(**body) as reply:
        chunks = reply.iter_bytes()
        while True:
            try:
                chunk = next(chunks, None)
            except Exception as error:  # of the transport, whose package differs between versions of openai
                if "Timeout" in type(error).__name__:
                    raise TimeoutError from None
                raise _Cut(f"the connection was cut ({type(error).__name__}: {error})"[:300]) from None
            if chunk is None:
                return endpoint.answer_without_key(bytes(content).decode("utf-8", "replace"))
            content += chunk
            if len(content) > _MOST_BYTES:
                raise BrokenReply(f"the reply is longer than {_MOST_BYTES} bytes")
            if time.monotonic() > end:
                raise TimeoutError


def _stop(endpoint: Endpoint, why: str) -> ServerError:
    return ServerError(
        endpoint.without_key(f"{endpoint.base_url}: {why}; what is finished is kept, the same command goes on")
    )


def _said(endpoint: Endpoint, error: Any) -> str:
    """The message of the server, as short as it can be found, with its code."""
    body = error.body if isinstance(error.body, dict) else {}
    code, message = body.get("code"), body.get("message")
    text = f"{message} ({code})" if message and code else str(message or error.response.text)
    return endpoint.without_key(" ".join(text.encode("utf-8", "replace").decode().split()))[:500]


def _root(endpoint: Endpoint, error: BaseException) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return endpoint.without_key(f"{type(cause).__name__}: {cause}")[:300]
