"""The columns of the published configs: those of the library, with a ``Video`` that decodes itself."""

from __future__ import annotations

from typing import Any

from ..errors import MissingExtraError
from .features import features_of


def published_features(config: str) -> Any:
    """``datasets.Features`` for readers who do not have this library.

    >>> published_features("caption")["video"].decode
    True
    """
    import datasets
    from datasets import Features

    if not hasattr(datasets, "Video"):
        version = datasets.__version__
        raise MissingExtraError(
            f"publishing needs datasets 3.1 or newer, {version} has no type Video; pip install -U datasets"
        )
    from datasets import Video

    return Features({"video": Video(), **features_of(config, videos=False)})
