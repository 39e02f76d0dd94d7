"""Load what a user brings as ``module:function``, and check what it returns."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelError, RecipeError

Boxes = NDArray[np.float64]  # (n, 4): x1, y1, x2, y2 in pixels
Detections = tuple[Boxes, NDArray[np.float64]]  # boxes, scores


def is_callable_name(name: str) -> bool:
    """Return whether a setting names a function, as in ``my_package.people:detect``.

    >>> is_callable_name("mine:detect"), is_callable_name("PekingU/rtdetr_v2_r18vd")
    (True, False)
    """
    module, _, function = name.partition(":")
    return bool(function) and all(part.isidentifier() for part in (*module.split("."), *function.split(".")))


def load_callable(name: str, what: str) -> Callable[..., Any]:
    """Import a function.

    Args:
        name: ``module:function``; a module in the current folder works as well.
        what: The setting, for messages.

    Raises:
        RecipeError: If there is no such function.
    """
    module_name, _, path = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise RecipeError(
            f"{what}={name}: {module_name} cannot be imported ({error}); check its name and PYTHONPATH"
        ) from error
    except AttributeError:
        raise RecipeError(f"{what}={name}: {module_name} has no {path}; check its name") from None
    if not callable(found):
        raise RecipeError(f"{what}={name}: this is not a function; name one as module:function")
    return found


def checked_detections(returned: Any, frames: int, name: str) -> list[Detections]:
    """Return what a detector found as arrays.

    Args:
        returned: Boxes and scores of each frame.
        frames: How many frames it was given.
        name: The detector, for messages.

    Raises:
        ModelError: If it does not follow the interface.
    """
    if not isinstance(returned, Sequence) or len(returned) != frames:
        raise ModelError(
            f"{name} returned {returned!r:.80}; it must return (boxes, scores) for each of {frames} frames"
        )
    found = []
    for item in returned:
        try:
            boxes, scores = item
            boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
            scores = np.asarray(scores, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise ModelError(f"{name} returned {item!r:.80}; it must return boxes (n, 4) and scores (n,)") from None
        if len(boxes) != len(scores) or not np.isfinite(boxes).all() or not np.isfinite(scores).all():
            raise ModelError(
                f"{name} returned {len(boxes)} boxes and {len(scores)} scores, or numbers that are not "
                "finite; it must return a finite score for each box"
            )
        found.append((boxes, scores))
    return found
