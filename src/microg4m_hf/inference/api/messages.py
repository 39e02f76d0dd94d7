"""What is sent to a server: the frames of a clip as JPEG images, then what is asked."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from ..items import Query, TextSettings, prompt_set

QUALITY = 90


def image_parts(frames: Any, side: int | None = None, detail: str | None = None) -> list[dict[str, Any]]:
    """Frames (n, height, width, 3) as parts of a message; ``side`` is the most that the longer side may have.

    >>> import numpy as np
    >>> parts = image_parts(np.zeros((2, 8, 16, 3), np.uint8), side=8, detail="low")
    >>> [part["image_url"]["url"][:23] for part in parts], parts[0]["image_url"]["detail"]
    (['data:image/jpeg;base64,', 'data:image/jpeg;base64,'], 'low')
    """
    from PIL import Image

    parts = []
    for frame in frames:
        picture = Image.fromarray(frame)
        if side:
            picture.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=None)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=QUALITY)
        image = {"url": "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()}
        if detail:
            image["detail"] = detail
        parts.append({"type": "image_url", "image_url": image})
    return parts


def request(settings: TextSettings, images: list[dict[str, Any]], query: Query) -> dict[str, Any]:
    """The body of one request. The images come first, so that servers that keep prefixes encode a clip once.

    >>> body = request(TextSettings("vqa", "m", prompts="plain"), [], Query("a_q0", "Who waves?"))
    >>> body["messages"], body["temperature"]
    ([{'role': 'user', 'content': [{'type': 'text', 'text': 'Who waves?'}]}], 0.0)
    """
    prompts = prompt_set(settings.prompts)
    text = prompts.caption if query.question is None else prompts.question.format(question=query.question)
    messages: list[dict[str, Any]] = [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]
    if prompts.system:
        messages.insert(0, {"role": "system", "content": prompts.system})
    body = {
        "model": settings.model,
        "messages": messages,
        "max_completion_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
    }
    if settings.temperature > 0:
        body["seed"] = settings.seed
    return body


# What a server said, as the record of an item. Nothing in it is believed before it is checked.


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
