"""What the server gives beside Gradio's own page: clips and their pictures by name, and headers that keep it alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .catalogue import Catalogue
from .pictures import small_picture

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
    """Tells browsers to ask no other server for anything, whatever a page or a prediction holds."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                headers += [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                headers.append((b"x-content-type-options", b"nosniff"))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, with_policy)
