"""Build the chat-completions request for a query, with the frames as JPEG images, and parse the reply."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from ..items import Query, TextSettings, prompt_set

_JPEG_QUALITY = 90


def encode_images(frames: Any, side: int | None = None, detail: str | None = None) -> list[dict[str, Any]]:
    """Encode frames as the image parts of a message.

    Frames whose longer side exceeds ``side`` are resized. ``detail`` decides how many tokens they use at OpenAI.

    Example:
        >>> import numpy as np
        >>> parts = encode_images(np.zeros((2, 8, 16, 3), np.uint8), side=8, detail="low")
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
        picture.save(file, "JPEG", quality=_JPEG_QUALITY)
        image = {"url": "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()}
        if detail:
            image["detail"] = detail
        parts.append({"type": "image_url", "image_url": image})
    return parts


def build_request(settings: TextSettings, images: list[dict[str, Any]], query: Query) -> dict[str, Any]:
    """Build the body of a request. The images come first, so a server with a prefix cache encodes a clip once.

    >>> body = build_request(TextSettings("vqa", "m", prompts="plain"), [], Query("a_q0", "Who waves?"))
    >>> body["messages"], body["temperature"]
    ([{'role': 'user', 'content': [{'type': 'text', 'text': 'Who waves?'}]}], 0.0)
    """
    prompts = prompt_set(settings.prompts)
    content = [*images, {"type": "text", "text": prompts.user_text(query)}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if prompts.system:
        messages.insert(0, {"role": "system", "content": prompts.system})
    body = {
        "model": settings.model,
        "messages": messages,
        "max_completion_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
    }
    return body | ({"seed": settings.seed} if settings.temperature > 0 else {})


class MalformedReply(Exception):
    """The reply is not a whole chat completion. A retry may help."""


def parse_reply(body: str) -> dict[str, Any]:
    """Return the record of a reply: its text or the kind of its failure, and the tokens that were used.

    Every field is checked, because servers differ.

    Raises:
        MalformedReply: The reply is not a chat completion, or its answer was broken off.

    Example:
        >>> parse_reply('{"choices": [{"message": {"content": " Two. "}, "finish_reason": "stop"}]}')
        {'status': 'ok', 'text': 'Two.'}
        >>> parse_reply('{"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}')["kind"]
        'content_filter'
    """
    try:
        reply = json.loads(body)
        choice = reply["choices"][0]
        if choice.get("finish_reason") in ("abort", "error"):  # vLLM and SGLang, with the text so far
            raise MalformedReply(f"the server gave the answer up (finish_reason {choice['finish_reason']!r})")
        record = _parse_message(choice.get("message") or {}, choice.get("finish_reason"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedReply(f"the reply is not a chat completion ({type(error).__name__}): {body[:120]!r}") from None
    tokens = _parse_usage(reply.get("usage"))
    if tokens:
        record["tokens"] = tokens
    if isinstance(reply.get("model"), str):
        record["served"] = _replace_surrogates(reply["model"])[:200]
    return record


def _parse_message(message: dict[str, Any], finish_reason: Any) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):  # some servers return parts
        content = "".join(part.get("text") or "" for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError("content")
    text = _replace_surrogates(content or "").strip()
    refusal = message.get("refusal")
    if refusal:
        kind, why = "refusal", f"the model refuses: {_replace_surrogates(str(refusal))[:500]}"
    elif finish_reason == "content_filter":
        kind, why = "content_filter", "the content filter of the server stopped the answer"
    elif not text and finish_reason == "length":
        kind, why = "length", "--max-new-tokens were used up before any text was generated; raise it"
    elif not text:
        kind, why = "empty", f"the answer is empty (finish_reason {finish_reason!r})"[:200]
    else:
        return {"status": "ok", "text": text} | ({"flags": ["length"]} if finish_reason == "length" else {})
    return {"status": "failed", "kind": kind, "why": why}


def _parse_usage(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    details = usage.get("prompt_tokens_details")
    counts = {
        "in": usage.get("prompt_tokens"),
        "out": usage.get("completion_tokens"),
        "cached": details.get("cached_tokens") if isinstance(details, dict) else None,
    }
    return {name: count for name, count in counts.items() if type(count) is int and 0 <= count < 10**9}


def _replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which are valid in JSON and cannot be encoded as UTF-8."""
    return text.encode("utf-8", "replace").decode()
