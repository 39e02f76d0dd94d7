"""Serve clips and thumbnails by name, and protect the page with security headers and checks of the host."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...data import open_clip
from ...errors import ClipError
from .catalogue import Catalogue

THUMBNAIL_WIDTH = 192  # pixels: twice the width in the list, for high-density screens
THUMBNAILS_IN_MEMORY = 512  # about 4 MB


def thumbnail(path: Path) -> bytes:
    """Return the middle frame as JPEG, or a gray picture for a clip that cannot be decoded."""
    state = path.stat()
    return _thumbnail(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=THUMBNAILS_IN_MEMORY)
def _thumbnail(path: str, _mtime: int, _size: int) -> bytes:
    from PIL import Image

    try:
        with open_clip(path) as clip:
            image = Image.fromarray(clip.frames([len(clip) // 2])[0])
    except ClipError:
        image = Image.new("RGB", (16, 9), (208, 213, 219))
    image = image.resize((THUMBNAIL_WIDTH, max(1, round(THUMBNAIL_WIDTH * image.height / image.width))))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=78)
    return buffer.getvalue()


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Gradio compiles its templates in the browser, hence 'unsafe-eval'. No other server can be reached.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self'; form-action 'self'; object-src 'none'; base-uri 'self'"
)


def clip_routes(catalogue: Catalogue) -> list[Any]:
    """Return the routes of clips and thumbnails. Names are looked up in the catalogue and never joined to a path."""
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route

    def route(address: str, respond: Callable[[Path], Response]) -> Route:
        def endpoint(request: Request) -> Response:
            path = catalogue.clip_file(request.path_params["video_id"])
            if path is None:
                return Response("this dataset has no such clip", status_code=404, media_type="text/plain")
            return respond(path)

        return Route(address, endpoint)

    def picture(path: Path) -> Response:
        return Response(thumbnail(path), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    clip = partial(FileResponse, media_type="video/mp4")
    return [route("/microg4m/clips/{video_id}.mp4", clip), route("/microg4m/pictures/{video_id}.jpg", picture)]


class SameOriginOnly:
    """Middleware: the page loads nothing from other servers, and the server takes no uploads.

    Args:
        app: The application.
        local: Whether only this machine reaches the server. Requests under another host name are then refused, because
            any website could otherwise read the explorer by resolving its own name to this machine (DNS rebinding).
    """

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]], local: bool) -> None:
        self.app, self.local = app, local

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            from starlette.responses import PlainTextResponse

            await PlainTextResponse(refusal[1], status_code=refusal[0])(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                headers += [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                headers.append((b"x-content-type-options", b"nosniff"))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        if scope["path"].rstrip("/").endswith("/upload"):
            return 404, "uploads are disabled"  # Gradio would store files from any website
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if self.local and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return 421, "only this machine has access; start the explorer with --host 0.0.0.0 for others"
        return None


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is reachable from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    return host == "localhost" or host.startswith("127.")
