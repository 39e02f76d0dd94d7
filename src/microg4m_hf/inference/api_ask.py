"""One item and one server: tries until there is an answer, or a failure that can be recorded."""

from __future__ import annotations

import time
from typing import Any

from ..errors import ServerError
from .api_endpoint import Endpoint
from .api_reply import BrokenReply, read_reply
from .api_wait import Pause, asked_wait, growing_wait

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
                    f"the server asks to wait {wait:.0f} s, which is more than --patience {endpoint.patience:g}",
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
