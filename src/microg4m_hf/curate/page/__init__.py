"""The review page: look at clips and people, and decide, with the keyboard."""

from typing import TYPE_CHECKING

from ...lazy import attach

if TYPE_CHECKING:
    from .board import ReviewBoard as ReviewBoard
    from .review_app import review_work as review_work

__getattr__, __dir__, __all__ = attach(__name__)
