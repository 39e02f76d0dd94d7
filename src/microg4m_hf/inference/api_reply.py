"""What a server said, as the record of an item. Nothing in it is believed before it is checked."""

from __future__ import annotations

import json
from typing import Any


class BrokenReply(Exception):
    """The reply is no chat completion; another try may bring one."""


def read_reply(body: str) -> dict[str, Any]:
    """The record of a reply: ``ok`` with a text, or ``failed`` with its kind, and the tokens that were used.

    >>> read_reply('{"choices": [{"message": {"content": " Two. "}, "finish_reason": "stop"}]}')
    {'status': 'ok', 'text': 'Two.'}
    >>> read_reply('{"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}')["kind"]
    'content_filter'
    """
    try:
        reply = json.loads(body)
        choice = reply["choices"][0]
        message = choice.get("message") or {}
        found = _judged(message, choice.get("finish_reason"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BrokenReply(f"the reply is no chat completion ({type(error).__name__}): {body[:120]!r}") from None
    tokens = _tokens(reply.get("usage"))
    if tokens:
        found["tokens"] = tokens
    if isinstance(reply.get("model"), str):
        found["served"] = _writable(reply["model"])[:200]
    return found


def _judged(message: dict[str, Any], finish: Any) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):  # some servers answer in parts
        content = "".join(part.get("text") or "" for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError("content")
    text = _writable(content or "").strip()
    refusal = message.get("refusal")
    if refusal:
        return _failed("refusal", f"the model refuses: {_writable(str(refusal))[:500]}")
    if finish == "content_filter":
        return _failed("content_filter", "the content filter of the server stopped the answer")
    if not text and finish == "length":
        return _failed("length", "max-new-tokens were used up before any text came")
    if not text:
        return _failed("empty", f"the answer is empty (finish_reason {finish!r})"[:200])
    flags = {"flags": ["length"]} if finish == "length" else {}
    return {"status": "ok", "text": text, **flags}


def _failed(kind: str, why: str) -> dict[str, Any]:
    return {"status": "failed", "kind": kind, "why": why}


def _tokens(said: Any) -> dict[str, int]:
    if not isinstance(said, dict):
        return {}
    details = said.get("prompt_tokens_details")
    found = {
        "in": said.get("prompt_tokens"),
        "out": said.get("completion_tokens"),
        "cached": details.get("cached_tokens") if isinstance(details, dict) else None,
    }
    return {name: count for name, count in found.items() if type(count) is int and 0 <= count < 10**9}


def _writable(text: str) -> str:
    """Half of a surrogate pair is valid in JSON and cannot be written to a file."""
    return text.encode("utf-8", "replace").decode()
