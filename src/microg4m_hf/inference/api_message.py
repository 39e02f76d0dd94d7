"""What is sent to a server: the frames of a clip as JPEG images, then what is asked."""

from __future__ import annotations

import base64
import io
from typing import Any

from .items import Ask
from .prompts import prompt_set
from .settings import Settings

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


def request(settings: Settings, images: list[dict[str, Any]], ask: Ask) -> dict[str, Any]:
    """The body of one request. The images come first, so that servers that keep prefixes encode a clip once.

    >>> body = request(Settings("vqa", "m", prompts="plain"), [], Ask("a_q0", "Who waves?"))
    >>> body["messages"], body["temperature"]
    ([{'role': 'user', 'content': [{'type': 'text', 'text': 'Who waves?'}]}], 0.0)
    """
    prompts = prompt_set(settings.prompts)
    text = prompts.caption if ask.question is None else prompts.question.format(question=ask.question)
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
