"""What the pages share: the player of a clip, its routes, and a local server."""

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .player import PlayerTrack as PlayerTrack, render_player as render_player
    from .serving import serve_page as serve_page

__getattr__, __dir__, __all__ = attach(__name__)
