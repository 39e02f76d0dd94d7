"""What the server gives beside Gradio's own page: clips and their pictures by name, and headers that keep it alone."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...data import open_clip
from ...errors import ClipError
from .catalogue import Catalogue

# Small pictures of clips for the list, decoded when somebody looks and kept in bounded number.

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


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Gradio compiles its templates in the browser, hence 'unsafe-eval'; the point is that nothing outside is reachable.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self'; form-action 'self'; object-src 'none'; base-uri 'self'"
)


def clip_routes(catalogue: Catalogue) -> list[Any]:
    """Routes of clips and pictures. A name is looked up among the clips of the data set and never joined to a path."""
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route

    def clip(request: Request) -> Response:
        path = catalogue.clip_file(request.path_params["video_id"])
        if path is None:
            return Response("there is no such clip", status_code=404, media_type="text/plain")
        return FileResponse(path, media_type="video/mp4")

    def picture(request: Request) -> Response:
        path = catalogue.clip_file(request.path_params["video_id"])
        if path is None:
            return Response("there is no such clip", status_code=404, media_type="text/plain")
        return Response(small_picture(path), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    return [Route("/microg4m/clips/{video_id}.mp4", clip), Route("/microg4m/pictures/{video_id}.jpg", picture)]


class Alone:
    """Keeps the page to itself: it loads nothing from elsewhere and takes no files.

    ``own`` is for a server that only this machine reaches: a request under another name of the host is refused, or any
    web page could read the explorer by letting its name point here. (Gradio keeps other sites from reading localhost.)
    """

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]], own: bool) -> None:
        self.app, self.own = app, own

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refused := self._refusal(scope)):
            from starlette.responses import PlainTextResponse

            await PlainTextResponse(refused[1], status_code=refused[0])(scope, receive, send)
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                headers += [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                headers.append((b"x-content-type-options", b"nosniff"))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, with_policy)

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        if scope["path"].rstrip("/").endswith("/upload"):
            return 404, "nothing is uploaded here"  # Gradio would keep whatever any page sends
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if self.own and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return 421, "only this machine may look; start it with --host 0.0.0.0 for others"
        return None


def is_loopback(host: str) -> bool:
    """Whether an address or a name means this machine and nobody else.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    return host == "localhost" or host.startswith("127.")
