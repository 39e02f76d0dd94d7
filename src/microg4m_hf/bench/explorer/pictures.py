"""Small pictures of clips for the list, decoded when somebody looks and kept in bounded number."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

from ...data import open_clip
from ...errors import ClipError

WIDE = 192  # twice the width in the list, for screens with small dots
KEPT = 512  # pictures, some 4 MB


def small_picture(path: Path) -> bytes:
    """The middle frame as JPEG; a grey one for a clip that cannot be decoded, so that no page shows a broken image."""
    state = path.stat()
    return _drawn(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=KEPT)
def _drawn(path: str, _changed: int, _bytes: int) -> bytes:
    from PIL import Image

    try:
        with open_clip(path) as clip:
            image = Image.fromarray(clip.frames([len(clip) // 2])[0])
    except ClipError:
        image = Image.new("RGB", (16, 9), (208, 213, 219))
    image = image.resize((WIDE, max(1, round(WIDE * image.height / image.width))))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=78)
    return buffer.getvalue()
