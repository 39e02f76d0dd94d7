"""The columns of the published configs: those of the library, with a ``Video`` that decodes itself."""

from __future__ import annotations

from typing import Any

from .features import features_of


def published_features(config: str) -> Any:
    """``datasets.Features`` for readers who do not have this library.

    >>> published_features("caption")["video"].decode
    True
    """
    from datasets import Features, Video

    return Features({"video": Video(), **features_of(config, videos=False)})
