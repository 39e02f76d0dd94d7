"""The report of the same runs, served beside the explorer, so that names here link to rows there and back."""

from __future__ import annotations

import html
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...errors import RecipeError
from ..render.formatting import EXPLORER

ADDRESS = "microg4m/report"  # relative to the explorer
_NAMED = re.compile(r'\bdata-(run|action|clip)="([^"]*)"')


@dataclass(frozen=True)
class ReportPage:
    """A ``report.html``, and the runs, actions and clips that it has rows or examples for."""

    path: Path
    names: dict[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ReportPage:
        """Read a report.

        Args:
            path: The folder that ``microg4m report`` wrote, or its ``report.html``.

        Raises:
            RecipeError: There is no such file.
        """
        file = Path(path) / "report.html" if Path(path).is_dir() else Path(path)
        try:
            found = _NAMED.findall(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(
                f"{path} is not a report ({type(error).__name__}); name a folder that `microg4m report … --out` wrote"
            ) from None
        kinds = ("run", "action", "clip")
        return cls(file, {kind: frozenset(html.unescape(name) for one, name in found if one == kind) for kind in kinds})

    def link(self, kind: str, name: str) -> str:
        """Return the address of a run, an action or a clip in the report; an empty one if the report lacks it."""
        return f"{ADDRESS}#{kind}={quote(name, safe='')}" if name in self.names.get(kind, ()) else ""

    def routes(self) -> list[Any]:
        """Return the route of the page, whose links to the explorer lead to the one that serves it."""
        from starlette.responses import HTMLResponse, PlainTextResponse, Response
        from starlette.routing import Route

        def show(_: Any) -> Response:
            try:
                page = self.path.read_text(encoding="utf-8")
            except OSError:
                return PlainTextResponse("the report is gone", status_code=404)
            return HTMLResponse(page.replace(f'href="{EXPLORER}/', 'href="../'))

        return [Route(f"/{ADDRESS}", show)]
