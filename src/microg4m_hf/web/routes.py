"""Serve clips and thumbnails by name, and let requests of the page itself pass, and no others."""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..data import open_clip
from ..data.video.probe import read_frame_size
from ..errors import ClipError
from ..inference.api.transport import is_loopback

THUMBNAIL_SIZE = (192, 384)  # pixels, at most; twice the width in the list, for high-density screens
MAX_FRAME_SIDE = 4096  # pixels; a thumbnail of a larger clip is gray, because decoding it takes seconds
THUMBNAILS_IN_MEMORY = 512  # about 4 MB


def thumbnail(path: Path) -> bytes:
    """Return the middle frame as JPEG, or a gray picture for a clip that cannot be decoded."""
    state = path.stat()
    return _thumbnail(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=THUMBNAILS_IN_MEMORY)
def _thumbnail(path: str, _mtime: int, _size: int) -> bytes:
    from PIL import Image

    image = Image.new("RGB", (16, 9), (208, 213, 219))
    try:
        if max(read_frame_size(path)) <= MAX_FRAME_SIDE:
            with open_clip(path) as clip:
                image = Image.fromarray(clip.frames([len(clip) // 2])[0])
    except ClipError:
        pass
    scale = min(side / shown for side, shown in zip(THUMBNAIL_SIZE, image.size, strict=True))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
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


def clip_routes(find_clip: Callable[[str], Path | None]) -> list[Any]:
    """Return the routes of clips and thumbnails.

    Args:
        find_clip: Gives the file of a clip by its name, None for a name that it does not know. Names come from
            strangers, so it must look them up and never join them to a path.
    """
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route

    def route(address: str, respond: Callable[[Path], Response]) -> Route:
        def endpoint(request: Request) -> Response:
            path = find_clip(request.path_params["video_id"])
            if path is None:
                return Response("this dataset has no such clip", status_code=404, media_type="text/plain")
            return respond(path)

        return Route(address, endpoint)

    def picture(path: Path) -> Response:
        return Response(thumbnail(path), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    clip = partial(FileResponse, media_type="video/mp4")
    return [route("/microg4m/clips/{video_id}.mp4", clip), route("/microg4m/pictures/{video_id}.jpg", picture)]


# What the page requests. Gradio has some sixty more routes: uploads, its API, recordings, files, code.
GET_PATHS = (
    "/",
    "/config",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
    "/theme.css",
    "/gradio_api/startup-events",
    "/microg4m/report",
)
GET_FOLDERS = ("/assets/", "/static/", "/svelte/", "/microg4m/clips/", "/microg4m/pictures/", "/gradio_api/heartbeat/")
POST_PATHS = ("/gradio_api/run/predict",)  # a click or a changed filter
MAX_BODY_BYTES = 256 * 1024


class SameOriginOnly:
    """Middleware: the page loads nothing from other servers, and only the page itself may use the server.

    Refused are routes that the page does not use, bodies of more than :data:`MAX_BODY_BYTES`, and requests that a
    browser sends for another page (a foreign ``Origin``).

    Args:
        app: The application.
        local: Whether only this machine reaches the server. Requests under another host name are then refused, because
            any website could otherwise read the page by resolving its own name to this machine (DNS rebinding).
    """

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]], local: bool) -> None:
        self.app, self.local = app, local

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope) if scope["type"] == "http" else (404, "only HTTP is supported")
        if refusal:
            from starlette.responses import PlainTextResponse

            await PlainTextResponse(refusal[1], status_code=refusal[0])(scope, receive, send)
            return
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # A body without a length is cut off, and what is left of it is not valid JSON.
            return {"type": "http.disconnect"} if received > MAX_BODY_BYTES else message

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                headers += [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                headers.append((b"x-content-type-options", b"nosniff"))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive_bounded, send_with_headers)

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path, method = scope["path"], scope["method"]
        is_read = method in ("GET", "HEAD") and (path in GET_PATHS or path.startswith(GET_FOLDERS))
        if not is_read and not (method == "POST" and path in POST_PATHS):
            return 404, "there is no such page"
        host = _split_host(headers.get("host", ""))
        if self.local and not is_loopback(host[0]):
            return 421, "only this machine has access; start the page with --host 0.0.0.0 for others"
        if "origin" in headers:
            page = _split_host(headers["origin"].partition("://")[2])
            # Behind the proxy of a Space, the address of the page is in X-Forwarded-Host, which no page can set.
            own = host if self.local else _split_host(headers.get("x-forwarded-host", headers.get("host", "")))
            if page not in (host, own) and not (self.local and is_loopback(page[0]) and page[1] == host[1]):
                return 403, "this page belongs to another site"
        if int(headers.get("content-length", "0")) > MAX_BODY_BYTES:  # the server has checked that it is a number
            return 413, f"a request has at most {MAX_BODY_BYTES} bytes"
        return None


def _split_host(host: str) -> tuple[str, int | None]:
    """Return the name and the port in a ``Host`` header or behind the scheme of an ``Origin``."""
    if not re.fullmatch(r"[\w.:\[\]-]+", host, re.ASCII):  # urlsplit drops tabs and reads past "@"
        return "", None
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname or "", parts.port
    except ValueError:  # such as "[::1"
        return "", None
