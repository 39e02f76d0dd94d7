"""Send one query to an OpenAI-compatible server: find the key, retry transient errors, and record the others.

The key is read from the environment and used in requests only. It is removed from everything that is written or shown.
"""

from __future__ import annotations

import email.utils
import os
import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from ...errors import RecipeError, ServerError
from ...settings import Settings, setting
from .messages import MalformedReply, parse_reply
from .transport import MAX_REPLY_BYTES, bounded_http_client, is_loopback

OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Endpoint(Settings, prefix="--"):
    """An OpenAI-compatible server and how to send requests to it. None of these settings affects the answers."""

    base_url: str = ""  # default: the variable OPENAI_BASE_URL, else OpenAI
    key: str | None = field(default=None, repr=False)  # None: from the environment; "" for a server without keys
    key_env: str | None = None  # the environment variable that holds the key; default: OPENAI_API_KEY
    concurrency: int = setting(8, at_least=1)  # requests at the same time
    timeout: float = setting(120.0, above=0)  # seconds per request
    # per item, after transient errors; replies with status 429 do not count
    max_retries: int = setting(5, at_least=0)
    # longest wait a server may ask for; longest retry of an item after 429
    retry_timeout: float = setting(900.0, at_least=0)
    backoff: float = setting(0.5, at_least=0)  # seconds before the first retry, doubled before each further one
    price_in: float | None = setting(None, at_least=0)  # per 1,000 tokens
    price_out: float | None = setting(None, at_least=0)

    def resolve(self) -> Endpoint:
        """Return the endpoint with its address and its key, see :func:`find_address` and :func:`find_key`."""
        url = find_address(self.base_url)
        return replace(self, base_url=url, key=find_key(url, self.key_env) if self.key is None else self.key)

    def redact(self, text: str) -> str:
        """Hide the key in a message.

        >>> Endpoint("http://localhost/v1", "sk-123456").redact("Incorrect key sk-123456")
        'Incorrect key ***'
        """
        return text.replace(self.key, "***") if self.key else text

    def redact_answer(self, text: str) -> str:
        """Hide the key in generated text, unless it is a placeholder such as "EMPTY", which may occur in an answer."""
        return self.redact(text) if len(self.key or "") >= 12 else text


def find_address(base_url: str) -> str:
    """Return the address of the server: the one given, that of ``OPENAI_BASE_URL``, or OpenAI's.

    Raises:
        RecipeError: The address is invalid or holds a secret.

    Example:
        >>> find_address("http://localhost:8000/v1")
        'http://localhost:8000/v1'
    """
    url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecipeError("--base-url is not a web address; give one such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise RecipeError(
            "--base-url holds a user, a password or a query, which would be written to logs; "
            "put the key into an environment variable and name it with --key-env"
        )
    return url


def find_key(url: str, key_env: str | None) -> str:
    """Return the key of a server, from ``OPENAI_API_KEY`` or the variable ``key_env``.

    OpenAI requires a key, and so does a server for which ``key_env`` is given. ``OPENAI_API_KEY`` is not sent
    unencrypted to another machine.

    Raises:
        RecipeError: The variable is missing or invalid.
    """
    parts = urlsplit(url)
    unencrypted = parts.scheme == "http" and not is_loopback(parts.hostname or "")
    name = key_env or "OPENAI_API_KEY"
    key = "" if unencrypted and not key_env else os.environ.get(name, "").strip()
    if not key and (key_env or url == OPENAI):
        raise RecipeError(f"the environment variable {name} is not set; export {name}=… with the key of the server")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise RecipeError(f"the environment variable {name} holds characters that no key contains; export it again")
    return key


class RequestGate:
    """Pauses all requests together: a server that limits the rate of one limits all of them."""

    def __init__(self) -> None:
        self._until = 0.0
        self.stopped = threading.Event()  # ends all waits
        self.answered = threading.Event()  # the server accepts the key and the model

    def pause(self, seconds: float) -> None:
        self._until = max(self._until, time.monotonic() + seconds)

    def wait(self) -> None:
        while (left := self._until - time.monotonic()) > 0 and not self.stopped.is_set():
            self.stopped.wait(left * random.uniform(1.0, 1.1))  # jitter


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in ``retry-after-ms`` or ``Retry-After`` (seconds or a date), or None.

    >>> retry_after({"retry-after": "3"}), retry_after({"retry-after": "soon"}), retry_after({})
    (3.0, None, None)
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def backoff_delay(first: float, attempts: int) -> float:
    """Return an exponential backoff with jitter, at most a minute.

    >>> 0.75 <= backoff_delay(0.5, 2) <= 1.0, backoff_delay(0.5, 20) <= 60
    (True, True)
    """
    return min(60.0, first * 2 ** min(attempts - 1, 20)) * random.uniform(0.75, 1.0)


_TRANSIENT = (408, 409, 429)  # and 500 and above
# Errors that stop the run, because they concern every item.
_FATAL: dict[int | str, str] = {
    401: "does not accept the key",
    402: "requires payment",
    403: "does not allow this",
    404: "does not know this model or address",
    "limit": (
        "takes fewer images or shorter answers than this run needs; lower --frames or --max-new-tokens, or raise "
        "the limit of the server, such as --limit-mm-per-prompt or --max-model-len of vLLM"
    ),
}


# Servers report these errors with status 400 or 422, in words of their own.
_WORDS_OF_CAUSE: dict[int | str, str] = {
    401: (
        r"(api|access|auth\w*|invalid|incorrect|missing|no)[ _-]?(key|token)\b.*\b"
        r"(invalid|incorrect|missing|expired|provided|passed|valid|found|required)|"
        r"(invalid|incorrect|missing|expired)[ _-](api[ _-]?)?(key|token)|auth_?error|authentication[ _](error|failed)|"
        r"no connected db"  # LiteLLM without a database, about every key but its master key
    ),
    404: (
        r"model[ _-]?(not[ _-](found|exist)|does not exist|is not (available|supported|served))|"
        r"model\b.{0,120}\b(does not exist|not exist|not found|is unknown)|"
        r"(invalid|unknown|unsupported|no such|not a valid)[ _]model|server is pinned to"  # transformers serve MODEL
    ),
    # Every request of a run has as many images and may have as long an answer, whatever its prompt.
    "limit": (
        r"\bat most \d+ (image|video)|limit[-_]mm[-_]per[-_]prompt|"  # vLLM
        r"max_(completion_)?tokens=\d+ cannot be greater|"
        r"(image|video) count \d+ exceeds limit|"  # SGLang
        r"max_(completion_)?tokens is too large.*supports at most"  # OpenAI
    ),
}

# Gateways pass messages on without their codes. OpenAI's "exceeded your current quota" is not one of these, because
# Gemini says it of a limit per minute.
_NO_QUOTA = r"insufficient_quota|budget[ _](has been )?exceeded|(exceeded|crossed)( \w+)? budget"
_BAD_VALUE = r"too (large|small|long)|greater|less than|at (least|most)|exceed"
_FILTERED = r"content[ _]?(filter|policy|management policy)"


def fatal_status(code: int, message: str) -> int | str:
    """Return what an error means: its status, or the key of another cause, where a server uses 400 or 422 for it.

    >>> fatal_status(400, "API key not valid. Please pass a valid API key."), fatal_status(400, "Model Not Exist")
    (401, 404)
    >>> fatal_status(400, "At most 4 image(s) may be provided in one prompt.")
    'limit'
    >>> fatal_status(400, "the image is too large"), fatal_status(500, "model not found")
    (400, 500)
    """
    if code in (400, 422):
        for meaning, words in _WORDS_OF_CAUSE.items():
            if re.search(words, message[:300], re.IGNORECASE):
                return meaning
    return code


class RunStopped(ServerError):
    """Another request stopped the run. Its error is the one to show."""


class _ConnectionCut(Exception):
    """The connection broke during the reply."""


def make_client(endpoint: Endpoint) -> Any:
    """Create the ``openai`` client without its own retries, which ignore waits above 120 seconds."""
    import openai

    return openai.OpenAI(
        api_key=endpoint.key or "none",
        base_url=endpoint.base_url,
        timeout=endpoint.timeout,
        max_retries=0,
        http_client=bounded_http_client(endpoint.base_url, endpoint.timeout),
    )


def send_request(client: Any, endpoint: Endpoint, gate: RequestGate, body: dict[str, Any]) -> dict[str, Any]:
    """Send one request with retries, and return the record of its item.

    Raises:
        ServerError: The server rejects every request, so the run must stop.
    """
    import openai

    attempts = requests = 0
    start, why, kind = time.monotonic(), "", "unreachable"
    while attempts <= endpoint.max_retries:
        gate.wait()
        if gate.stopped.is_set():
            raise RunStopped("another request stopped the run")
        requests += 1
        delay = None
        try:
            record = parse_reply(_read_body(client, endpoint, body)) | {"requests": requests}
            gate.answered.set()
            return record
        except MalformedReply as error:
            why, kind = str(error), "malformed"
        except _ConnectionCut as error:
            why, kind = str(error), "unreachable"
        except (openai.APITimeoutError, TimeoutError):
            why, kind = f"no answer within {endpoint.timeout:g} s", "timeout"
        except openai.APIConnectionError as error:
            why, kind = f"the connection failed ({_root_cause(endpoint, error)})", "unreachable"
        except openai.APIStatusError as error:
            why, kind = f"the server replied {error.status_code}: {_server_message(endpoint, error)}", "server"
            code = error.status_code
            named = "max_completion_tokens" in body and "max_completion_tokens" in why
            if code == 400 and named and not re.search(_BAD_VALUE, why, re.IGNORECASE):
                # Servers from before 2024 know the older name only.
                body = {("max_tokens" if name == "max_completion_tokens" else name): body[name] for name in body}
                continue
            meaning = code if gate.answered.is_set() else fatal_status(code, _server_message(endpoint, error))
            if meaning in _FATAL or re.search(_NO_QUOTA, why, re.IGNORECASE):
                reason = _FATAL.get(meaning, "has no quota left")
                raise _stop_run(endpoint, f"the server {reason}: {why}") from None
            transient = code in _TRANSIENT or code >= 500 or error.response.headers.get("x-should-retry") == "true"
            if not transient or error.response.headers.get("x-should-retry") == "false":
                kind = "content_filter" if code < 500 and re.search(_FILTERED, why, re.IGNORECASE) else "rejected"
                break
            delay = retry_after(error.response.headers)
            if delay is not None and delay > endpoint.retry_timeout:
                raise _stop_run(
                    endpoint,
                    f"the server asks to wait {delay:.0f} s, more than --retry-timeout {endpoint.retry_timeout:g}",
                ) from None
            if code == 429:
                kind = "crowded"
                delay = backoff_delay(endpoint.backoff, requests) if delay is None else max(delay, endpoint.backoff)
                gate.pause(delay)
                if time.monotonic() - start + delay > endpoint.retry_timeout:
                    break
                continue
        attempts += 1
        if attempts <= endpoint.max_retries:
            gate.stopped.wait(backoff_delay(endpoint.backoff, attempts) if delay is None else delay)
    why = endpoint.redact(f"{why} (after {requests} requests)")
    return {"status": "failed", "kind": kind, "why": why, "requests": requests}


def _read_body(client: Any, endpoint: Endpoint, body: dict[str, Any]) -> str:
    """Read one reply, see :func:`bounded_http_client` for its limits."""
    content = bytearray()
    with client.chat.completions.with_streaming_response.create(**body) as reply:
        chunks = reply.iter_bytes()
        while True:
            try:
                chunk = next(chunks, None)
            except Exception as error:  # from the transport, whose package differs between versions of openai
                if "Timeout" in type(error).__name__:
                    raise TimeoutError from None
                raise _ConnectionCut(f"the connection was cut ({type(error).__name__}: {error})"[:300]) from None
            if chunk is None:
                return endpoint.redact_answer(bytes(content).decode("utf-8", "replace"))
            content += chunk
            if len(content) > MAX_REPLY_BYTES:
                raise MalformedReply(f"the reply is longer than {MAX_REPLY_BYTES} bytes")


def _stop_run(endpoint: Endpoint, why: str) -> ServerError:
    message = f"{endpoint.base_url}: {why}; finished items are kept, run the same command again to resume"
    return ServerError(endpoint.redact(message))


def _server_message(endpoint: Endpoint, error: Any) -> str:
    """Return the error message and code in the reply, or the reply itself."""
    body = error.body if isinstance(error.body, dict) else {"message": error.body}
    code, message = body.get("code"), body.get("message") or body.get("detail")
    text = f"{message} ({code})" if message and code else str(message or error.response.text)
    return endpoint.redact(" ".join(text.encode("utf-8", "replace").decode().split()))[:500]


def _root_cause(endpoint: Endpoint, error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return endpoint.redact(f"{type(error).__name__}: {error}")[:300]
